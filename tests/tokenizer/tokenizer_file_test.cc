// What a tokenizer.json may get wrong, and what the server then says.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "tests/tokenizer/test_util.h"

namespace quire {
namespace {

std::string MessageOfJson(absl::string_view json) {
  const TokenizerOr tokenizer = Tokenizer::FromJson(json, "f");
  return tokenizer.ok() ? "ok" : std::string(tokenizer.status().message());
}

TEST(TokenizerFileTest, AMissingFileIsNotFound) {
  const TokenizerOr tokenizer = Tokenizer::FromFile("/nonexistent/tokenizer.json");
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(tokenizer.status().message(), "/nonexistent/tokenizer.json: No such file or directory");
  EXPECT_FALSE(Tokenizer::FromFile("/").ok());
}

TEST(TokenizerFileTest, WhatIsNoJsonSaysSo) {
  EXPECT_EQ(MessageOfJson("{").substr(0, 19), "f: not valid JSON: ");
  EXPECT_NE(MessageOfJson(""), "ok");
  EXPECT_NE(MessageOfJson("\"\xFF\""), "ok");
  EXPECT_NE(MessageOfJson(std::string(1'000'000, '[')), "ok");
  EXPECT_EQ(MessageOfJson("[]"), "f: found an array, expected an object with \"model\"");
  EXPECT_EQ(MessageOfJson("{}"), "f: \"model\" is missing");
  EXPECT_EQ(MessageOfJson(R"({"version":"2.0"})"),
            "f: version: found \"2.0\", expected \"1.0\", the only version known");
}

TEST(TokenizerFileTest, AnUnsupportedComponentIsNamedWithWhatIsSupported) {
  EXPECT_EQ(MessageOfJson(R"({"model":{"type":"CharBpe"}})"),
            "f: model.type: found \"CharBpe\", expected one of BPE, Unigram, WordLevel, WordPiece");
  TestFile file;
  file.normalizer = R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Nfk"}]})";
  EXPECT_EQ(
      Message(file),
      "test.json: normalizer.normalizers[1].type: found \"Nfk\", expected one of "
      "BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, "
      "Replace, Sequence, Strip, StripAccents");
  file = TestFile();
  file.pre_tokenizer = R"({"type":"UnicodeScripts"})";
  EXPECT_EQ(
      Message(file),
      "test.json: pre_tokenizer.type: found \"UnicodeScripts\", expected one of BertPreTokenizer, "
      "ByteLevel, Digits, Metaspace, Punctuation, Sequence, Split, Whitespace, WhitespaceSplit");
  file = TestFile();
  file.post_processor = R"({"type":"Pairs"})";
  EXPECT_EQ(Message(file),
            "test.json: post_processor.type: found \"Pairs\", expected one of BertProcessing, "
            "ByteLevel, RobertaProcessing, Sequence, TemplateProcessing");
  file = TestFile();
  file.decoder = R"({"type":"CTC"})";
  EXPECT_EQ(Message(file),
            "test.json: decoder.type: found \"CTC\", expected one of ByteLevel, ByteFallback, "
            "Fuse, Metaspace, Replace, Strip, WordPiece, Sequence");
  file.decoder = R"({"type":"Sequence","decoders":[{"type":"ByteLevel"},{"type":"ByteFallback"}]})";
  EXPECT_EQ(
      Message(file),
      "test.json: decoder.decoders[1].type: found \"ByteFallback\", expected Fuse or Strip, as the "
      "tokens are one string by now");
}

TEST(TokenizerFileTest, TheModelSaysWhatIsWrongInIt) {
  const auto with_model = [](absl::string_view model) {
    TestFile file;
    file.model = std::string(model);
    return Message(file);
  };
  EXPECT_EQ(
      with_model(R"("dropout":0.1,)"),
      "test.json: model.dropout: found 0.1, expected null or 0: a server encodes the same text the "
      "same way");
  EXPECT_EQ(with_model(R"("end_of_word_suffix":"</w>",)"),
            "test.json: model.end_of_word_suffix: found \"</w>\", expected null or \"\": it is not "
            "supported");
  EXPECT_EQ(with_model(R"("byte_fallback":1,)"),
            "test.json: model.byte_fallback: found 1, expected true or false");
  EXPECT_EQ(with_model(R"("dropout":null,"end_of_word_suffix":"","continuing_subword_prefix":"",)"),
            "ok");
}

TEST(TokenizerFileTest, IdsAreBoundedIntegersThatDoNotRepeat) {
  const auto with_vocab = [](absl::string_view vocab) {
    TestFile file;
    file.vocab = std::string(vocab);
    file.merges = "[]";
    return Message(file);
  };
  EXPECT_EQ(with_vocab(R"({"a":-1})"),
            "test.json: model.vocab.a: found -1, expected an id from 0 to 4194303");
  EXPECT_EQ(with_vocab(R"({"a":4194304})"),
            "test.json: model.vocab.a: found 4194304, expected an id from 0 to 4194303");
  EXPECT_EQ(
      with_vocab(R"({"a":18446744073709551615})"),
      "test.json: model.vocab.a: found 18446744073709551615, expected an id from 0 to 4194303");
  EXPECT_EQ(with_vocab(R"({"a":1.5})"),
            "test.json: model.vocab.a: found 1.5, expected an id from 0 to 4194303");
  EXPECT_EQ(with_vocab(R"({"a":"1"})"),
            "test.json: model.vocab.a: found \"1\", expected an id from 0 to 4194303");
  EXPECT_EQ(with_vocab(R"({"a":1,"b":1})"), "ok");  // as the package
  EXPECT_EQ(with_vocab(R"({"a":1,"a":2})"),
            "test.json: model.vocab.a: found 2, expected a token that does not occur twice");
  EXPECT_EQ(with_vocab("[]"),
            "test.json: model.vocab: found an array, expected an object of tokens and ids");
  EXPECT_EQ(with_vocab("{}"), "ok");
  EXPECT_EQ(with_vocab(R"({"a":4194303})"), "ok");
}

TEST(TokenizerFileTest, MergesArePairsOfTokensThatMakeAToken) {
  const auto with_merges = [](absl::string_view merges) {
    TestFile file;
    file.merges = std::string(merges);
    return Message(file);
  };
  const std::string expected = ", expected two tokens, as \"a b\" or [\"a\", \"b\"]";
  EXPECT_EQ(with_merges(R"(["#version: 0.2","a b"])"), "ok");
  EXPECT_EQ(with_merges(R"(["ab"])"), "test.json: model.merges[0]: found \"ab\"" + expected);
  EXPECT_EQ(with_merges(R"(["a b c"])"), "test.json: model.merges[0]: found \"a b c\"" + expected);
  EXPECT_EQ(with_merges(R"(["a b"," b"])"), "test.json: model.merges[1]: found \" b\"" + expected);
  EXPECT_EQ(with_merges(R"([["a","b","c"]])"),
            "test.json: model.merges[0]: found an array" + expected);
  EXPECT_EQ(with_merges(R"([["a",1]])"), "test.json: model.merges[0]: found an array" + expected);
  EXPECT_EQ(with_merges("[7]"), "test.json: model.merges[0]: found 7" + expected);
  EXPECT_EQ(with_merges("{}"),
            "test.json: model.merges: found an object, expected an array of merges");
  EXPECT_EQ(with_merges(R"(["a x"])"),
            "test.json: model.merges[0]: the merge's token \"x\" is not in model.vocab");
  EXPECT_EQ(with_merges(R"(["b a"])"),
            "test.json: model.merges[0]: the merge's token \"ba\" is not in model.vocab");
}

TEST(TokenizerFileTest, AddedTokensHaveTheIdsThatTheirOrderGives) {
  const auto with_added = [](absl::string_view added_tokens) {
    TestFile file;
    file.added_tokens = std::string(added_tokens);
    return Message(file);
  };
  EXPECT_EQ(with_added(R"([{"id":5,"content":"<x>"},{"id":6,"content":"<y>"}])"), "ok");
  EXPECT_EQ(with_added(R"([{"id":5,"content":""}])"), "ok");
  EXPECT_EQ(with_added(R"([{"id":5,"content":"<x>"},{"id":5,"content":"<x>","special":true}])"),
            "ok");
  EXPECT_EQ(
      with_added(R"([{"id":7,"content":"<x>"}])"),
      "test.json: added_tokens[0].id: found 7, expected 5, the id of \"<x>\" by model.vocab or the "
      "order of the added tokens");
  EXPECT_EQ(
      with_added(R"([{"id":1,"content":"a"}])"),
      "test.json: added_tokens[0].id: found 1, expected 0, the id of \"a\" by model.vocab or the "
      "order of the added tokens");
  EXPECT_EQ(with_added(R"([{"id":-5,"content":"<x>"}])"),
            "test.json: added_tokens[0].id: found -5, expected an integer from 0 to 4194303");
  EXPECT_EQ(with_added(R"([{"id":5}])"), "test.json: added_tokens[0]: \"content\" is missing");
  EXPECT_EQ(with_added(R"([{"id":5,"content":"x","lstrip":"yes"}])"),
            "test.json: added_tokens[0].lstrip: found \"yes\", expected true or false");
  TestFile file;
  file.vocab = R"({"a":0,"b":1,"ab":3})";
  file.added_tokens = R"([{"id":3,"content":"<x>"}])";
  EXPECT_EQ(Message(file),
            "test.json: added_tokens[0].id: found 3, expected an id that is free: it is \"ab\" in "
            "model.vocab");
  file = TestFile();
  file.normalizer = R"({"type":"NFKC"})";
  file.added_tokens = R"([{"id":5,"content":"\uFB01"},{"id":6,"content":"fi"}])";
  EXPECT_EQ(Message(file),
            "test.json: added_tokens: \"\uFB01\" and \"fi\" are the same once normalised");
}

TEST(TokenizerFileTest, PatternsAndTemplatesSayWhatIsWrongInThem) {
  TestFile file;
  file.pre_tokenizer =
      R"({"type":"Split","pattern":{"Regex":"\\h"},"behavior":"Isolated","invert":false})";
  EXPECT_EQ(
      Message(file),
      "test.json: pre_tokenizer.pattern.Regex: \\h is not supported in a pattern (at byte 2)");
  file.pre_tokenizer = R"({"type":"Split","pattern":{"String":""},"behavior":"Isolated"})";
  EXPECT_EQ(
      Message(file),
      "test.json: pre_tokenizer.pattern.String: found \"\", expected a string that is not empty");
  file.pre_tokenizer = R"({"type":"Split","pattern":"x","behavior":"Isolated"})";
  EXPECT_EQ(Message(file),
            "test.json: pre_tokenizer.pattern: found \"x\", expected {\"String\": ...} or "
            "{\"Regex\": ...}");
  file.pre_tokenizer = R"({"type":"Metaspace","replacement":"__"})";
  EXPECT_EQ(
      Message(file),
      "test.json: pre_tokenizer.replacement: found \"__\", expected a string of one character");
  file = TestFile();
  file.post_processor = R"({"type":"TemplateProcessing","special_tokens":{"<s>":{"ids":[9]}},
      "single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}]})";
  EXPECT_EQ(
      Message(file),
      "test.json: post_processor.special_tokens.<s>.ids[0]: found 9, expected an integer from 0 to "
      "4");
  file.post_processor = R"({"type":"TemplateProcessing","special_tokens":{},
      "single":[{"SpecialToken":{"id":"<s>"}}]})";
  EXPECT_EQ(Message(file),
            "test.json: post_processor.single[0].SpecialToken.id: found \"<s>\", expected a key of "
            "special_tokens");
}

TEST(TokenizerFileTest, TemplatesWrapThePromptWhereAskedTo) {
  TestFile file;
  file.post_processor = R"({"type":"Sequence","processors":[{"type":"ByteLevel"},
      {"type":"TemplateProcessing","special_tokens":{"x":{"ids":[0,1]}},
       "single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}},{"SpecialToken":{"id":"x"}}]},
      {"type":"TemplateProcessing","special_tokens":{"y":{"ids":[4]}},
       "single":[{"SpecialToken":{"id":"y"}},{"Sequence":{"id":"A"}}]}]})";
  const auto tokenizer = file.LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "ab", /*add_special_tokens=*/true), "<unk>|a|b|ab|a|b");
  EXPECT_EQ(Tokens(*tokenizer, "ab"), "ab");
}

TEST(TokenizerFileTest, TheTokensOfBertAndRobertaStandAroundThePrompt) {
  TestFile file;
  for (const absl::string_view type : {"BertProcessing", "RobertaProcessing"}) {
    const auto with_pairs = [&](absl::string_view pairs) {
      file.post_processor = absl::StrCat(R"({"type":")", type, "\",", pairs, "}");
    };
    with_pairs(R"("sep":["b",1],"cls":["<unk>",4])");
    EXPECT_EQ(Tokens(*file.LoadOrDie(), "ab", /*add_special_tokens=*/true), "<unk>|ab|b");
    EXPECT_EQ(Tokens(*file.LoadOrDie(), "ab"), "ab");
    with_pairs(R"("sep":["b",1])");
    EXPECT_EQ(Message(file), "test.json: post_processor: \"cls\" is missing");
    with_pairs(R"("sep":["b",1],"cls":["a"])");
    EXPECT_EQ(Message(file),
              "test.json: post_processor.cls: found an array, expected a token and its id, as "
              "[\"[SEP]\", 102]");
    with_pairs(R"("sep":["b",5],"cls":["a",0])");
    EXPECT_EQ(Message(file),
              "test.json: post_processor.sep[1]: found 5, expected an integer from 0 to 4");
  }
}

TEST(TokenizerFileTest, TokensAndIdsAreFoundByEachOther) {
  TestFile file;
  file.added_tokens = R"([{"id":5,"content":"<x>","special":true}])";
  const auto tokenizer = file.LoadOrDie();
  EXPECT_EQ(tokenizer->vocab_size(), 6);
  EXPECT_EQ(tokenizer->TokenToId("ab"), 2);
  EXPECT_EQ(tokenizer->TokenToId("<x>"), 5);
  EXPECT_EQ(tokenizer->TokenToId("nothing"), std::nullopt);
  EXPECT_EQ(tokenizer->IdToToken(5), "<x>");
  for (const TokenId id : {-1, 6, 1 << 30}) {
    EXPECT_EQ(tokenizer->IdToToken(id), "");
    EXPECT_FALSE(tokenizer->IsSpecial(id));
    EXPECT_EQ(tokenizer->Decode({0, id, 1}, false), "ab");
  }
}

}  // namespace
}  // namespace quire
