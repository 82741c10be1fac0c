// Expected by the `tokenizers` package.
#include "tokenizer/word_piece.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/tokenizer/test_util.h"

namespace quire {
namespace {

TestFile File(absl::string_view fields) {
  TestFile file;
  file.whole_model = absl::StrCat("{", fields, R"(,"vocab":{"[UNK]":0,"a":1,"##b":2,"##":3,"#":4,)",
                                  "\"\u00E9\":5,\"ab\":6,\"##\u00E9\":7}}");
  return file;
}

constexpr char kFields[] =
    R"("unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":5)";

TEST(WordPieceTest, TakesTheLongestTokenThenTheLongestContinuation) {
  const auto tokenizer = File(absl::StrCat(R"("type":"WordPiece",)", kFields)).LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "ab"), "ab");
  EXPECT_EQ(Tokens(*tokenizer, "abb"), "ab|##b");
  EXPECT_EQ(Tokens(*tokenizer, "a\u00E9"), "a|##\u00E9");
  EXPECT_EQ(Tokens(*tokenizer, "##"), "##");
  EXPECT_EQ(Tokens(*tokenizer, ""), "");
}

TEST(WordPieceTest, AWordThatItCannotMakeIsUnknownAsAWhole) {
  const auto tokenizer = File(absl::StrCat(R"("type":"WordPiece",)", kFields)).LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "abz"), "[UNK]");
  EXPECT_EQ(Tokens(*tokenizer, "a#"), "[UNK]");
  EXPECT_EQ(Tokens(*tokenizer, "a##b"), "[UNK]");  // the prefix is none of the text's
}

TEST(WordPieceTest, AWordOfMoreCharactersThanAllowedIsUnknown) {
  const auto tokenizer = File(absl::StrCat(R"("type":"WordPiece",)", kFields)).LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "abbbb"), "ab|##b|##b|##b");
  EXPECT_EQ(Tokens(*tokenizer, "abbbbb"), "[UNK]");
  const std::string five = "\u00E9\u00E9\u00E9\u00E9\u00E9";  // ten bytes
  EXPECT_EQ(Tokens(*tokenizer, five), "\u00E9|##\u00E9|##\u00E9|##\u00E9|##\u00E9");
  EXPECT_EQ(Tokens(*tokenizer, five + "\u00E9"), "[UNK]");
}

TEST(WordPieceTest, WithoutAPrefixContinuationsAreSpeltAsWordsAre) {
  const auto tokenizer =
      File(R"("type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"",)"
           R"("max_input_chars_per_word":100)")
          .LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "aba"), "ab|a");
}

TEST(WordPieceTest, OldFilesDoNotNameTheModel) {
  EXPECT_EQ(Tokens(*File(kFields).LoadOrDie(), "abb"), "ab|##b");
  EXPECT_EQ(Tokens(*File(R"("unk_token":"[UNK]")").LoadOrDie(), "abb"), "[UNK]");  // WordLevel
}

TEST(WordPieceTest, AMissingUnknownTokenIsAFaultOnlyOfTextsThatNeedIt) {
  const auto tokenizer =
      File(R"("type":"WordPiece","unk_token":"<u>","continuing_subword_prefix":"##",)"
           R"("max_input_chars_per_word":100)")
          .LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "abb"), "ab|##b");
  EXPECT_EQ(Tokens(*tokenizer, "z"),
            "INVALID_ARGUMENT: the text has \"z\", which the tokenizer lacks, and its unk_token "
            "\"<u>\" is not in its vocabulary");
}

TEST(WordPieceTest, TheModelSaysWhatIsWrongInIt) {
  EXPECT_EQ(Message(File(R"("type":"WordPiece","unk_token":"[UNK]")")),
            "test.json: model: \"continuing_subword_prefix\" is missing");
  EXPECT_EQ(Message(File(R"("type":"WordPiece","continuing_subword_prefix":"##")")),
            "test.json: model: \"unk_token\" is missing");
  EXPECT_EQ(Message(File(R"("type":"WordPiece","unk_token":"[UNK]",)"
                         R"("continuing_subword_prefix":"##","max_input_chars_per_word":-1)")),
            "test.json: model.max_input_chars_per_word: found -1, expected an integer from 0 to "
            "9223372036854775807");
  TestFile file;
  file.whole_model = R"({"type":"WordPiece","vocab":[]})";
  EXPECT_EQ(Message(file),
            "test.json: model.vocab: found an array, expected an object of tokens and ids");
}

TEST(WordLevelTest, AWordIsATokenOrUnknown) {
  const auto tokenizer = File(R"("type":"WordLevel","unk_token":"[UNK]")").LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "ab"), "ab");
  EXPECT_EQ(Tokens(*tokenizer, "abb"), "[UNK]");
}

TEST(WordPieceDecoderTest, JoinsContinuationsAndCleansUpEnglish) {
  TestFile file;
  file.whole_model =
      R"({"type":"WordPiece","unk_token":"i","continuing_subword_prefix":"##",
          "max_input_chars_per_word":100,"vocab":{"i":0,"##t":1,"'s":2,".":3,"##":4,"do not":5}})";
  const auto decode = [&](absl::string_view cleanup) {
    file.decoder = absl::StrCat(R"({"type":"WordPiece","prefix":"##","cleanup":)", cleanup, "}");
    return file.LoadOrDie()->Decode({0, 1, 2, 3, 4, 5}, false);
  };
  EXPECT_EQ(decode("true"), "it's. don't");
  EXPECT_EQ(decode("false"), "it 's . do not");
  EXPECT_EQ(file.LoadOrDie()->Decode({1, 1}, false), "##tt");  // the first token stays as it is
}

}  // namespace
}  // namespace quire
