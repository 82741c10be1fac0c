#include "tokenizer/detokenizer.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <random>
#include <string>
#include <vector>

#include "tests/tokenizer/test_util.h"

namespace quire {
namespace {

std::vector<TokenId> Ids(const Tokenizer& tokenizer, const std::vector<std::string>& tokens) {
  std::vector<TokenId> ids;
  for (const std::string& token : tokens) ids.push_back(tokenizer.TokenToId(token).value());
  return ids;
}

// What each token and then Finish give, joined by "|".
std::string Pieces(const Tokenizer& tokenizer, const std::vector<std::string>& tokens) {
  IncrementalDetokenizer detokenizer(&tokenizer, /*skip_special_tokens=*/false);
  std::string out;
  for (const TokenId id : Ids(tokenizer, tokens)) {
    absl::StrAppend(&out, detokenizer.Append(id), "|");
  }
  return out + detokenizer.Finish();
}

TEST(DetokenizerTest, ByteLevelTokensNeverSplitACharacter) {
  const auto tokenizer = LoadGolden("gpt2");
  // U+00F0 U+0141 U+013A U+0122 stand for the bytes F0 9F 98 80.
  EXPECT_EQ(Pieces(*tokenizer, {"a", "\u00F0", "\u0141", "\u013A", "\u0122", "b"}),
            "a||||\U0001F600|b|");
  EXPECT_EQ(Pieces(*tokenizer, {"\u00F0", "\u0141"}), "||\uFFFD");
  EXPECT_EQ(Pieces(*tokenizer, {"\u00F0", "a", "\u0122"}), "|\uFFFDa|\uFFFD|");
}

TEST(DetokenizerTest, ByteTokensComeOutCharacterByCharacter) {
  const auto tokenizer = LoadGolden("llama2");
  EXPECT_EQ(Pieces(*tokenizer, {"<0xC3>", "<0xA9>", "a"}), "|\u00E9|a|");
  EXPECT_EQ(Pieces(*tokenizer, {"<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "<0x41>"}),
            "|||\U0001F600|A|");
  // Bytes that are no part of a character are one U+FFFD each, as soon as that is sure.
  EXPECT_EQ(Pieces(*tokenizer, {"<0xFF>", "<0x41>"}), "\uFFFD|A|");
  EXPECT_EQ(Pieces(*tokenizer, {"<0xE2>", "<0x96>", "<0x41>"}), "||\uFFFD\uFFFDA|");
  EXPECT_EQ(Pieces(*tokenizer, {"<0xE2>", "<0x96>", "a"}), "||\uFFFD\uFFFDa|");
  EXPECT_EQ(Pieces(*tokenizer, {"<0xF0>", "<0x9F>"}), "||\uFFFD\uFFFD");
  // One bad byte spoils the whole run where it is decoded at once: so the package does.
  const std::vector<std::string> spoilt = {"<0xC3>", "<0xA9>", "<0xC3>", "a"};
  EXPECT_EQ(Pieces(*tokenizer, spoilt), "|\u00E9||\uFFFDa|");
  EXPECT_EQ(tokenizer->Decode(Ids(*tokenizer, spoilt), false), "\uFFFD\uFFFD\uFFFDa");
}

TEST(DetokenizerTest, ByteRunsThatALaterStepEditsAreHeldToTheirEnd) {
  TestFile file;
  file.vocab = R"({"a":0,"<0x41>":1,"<0x42>":2})";
  file.merges = "[]";
  file.decoder = R"({"type":"Sequence","decoders":[{"type":"ByteFallback"},
                     {"type":"Replace","pattern":{"String":"AB"},"content":"c"}]})";
  EXPECT_EQ(Pieces(*file.LoadOrDie(), {"<0x41>", "<0x42>", "a"}), "||ca|");
}

TEST(DetokenizerTest, OnlyTheFirstSpaceIsStripped) {
  const auto llama2 = LoadGolden("llama2");
  EXPECT_EQ(Pieces(*llama2, {"\u2581the", "\u2581the"}), "the| the|");
  EXPECT_EQ(Pieces(*llama2, {"\u2581", "\u2581", "a"}), "| |a|");
  const auto gemma = LoadGolden("gemma");
  EXPECT_EQ(Pieces(*gemma, {"\u2581", "a"}), " |a|");
}

TEST(DetokenizerTest, StripAtTheEndHoldsBackWhatMayBeTheEnd) {
  TestFile file;
  file.decoder = R"({"type":"Sequence","decoders":[{"type":"Fuse"},
                     {"type":"Strip","content":" ","start":0,"stop":2}]})";
  const auto tokenizer = file.LoadOrDie();
  EXPECT_EQ(Pieces(*tokenizer, {"a", " ", " ", " ", "b", " "}), "a||| |  b||");
  file.decoder = R"({"type":"Strip","content":"a","start":1,"stop":1})";
  EXPECT_EQ(Pieces(*file.LoadOrDie(), {"ab", "a", "b"}), "b||b|");
}

TEST(DetokenizerTest, WithoutADecoderTokensAreJoinedWithSpaces) {
  TestFile file;
  file.decoder = "null";
  EXPECT_EQ(Pieces(*file.LoadOrDie(), {"a", "ab", "b"}), "a| ab| b|");
}

TEST(DetokenizerTest, AnyTokensJoinToWhatDecodeGives) {
  std::mt19937 random(4);
  for (const char* family : {"gpt2", "llama2", "mistral", "gemma", "metaspace"}) {
    const auto tokenizer = LoadGolden(family);
    int compared = 0;
    for (int round = 0; round < 300; ++round) {
      const bool skip = round % 2 == 0;
      // Half of them from the start of the vocabulary, where the bytes are.
      const int32_t range = round % 4 < 2 ? 300 : tokenizer->vocab_size() + 2;
      std::vector<TokenId> ids(random() % 50);
      for (TokenId& id : ids) id = static_cast<TokenId>(random() % range);
      IncrementalDetokenizer detokenizer(tokenizer.get(), skip);
      std::string joined;
      for (const TokenId id : ids) {
        const std::string piece = detokenizer.Append(id);
        ASSERT_TRUE(simdjson::validate_utf8(piece));
        joined += piece;
      }
      joined += detokenizer.Finish();
      ASSERT_TRUE(simdjson::validate_utf8(joined));
      if (HasSpoiltByteRun(*tokenizer, ids, skip)) continue;
      ++compared;
      ASSERT_EQ(joined, tokenizer->Decode(ids, skip)) << family;
    }
    EXPECT_GT(compared, 50) << family;
  }
}

}  // namespace
}  // namespace quire
