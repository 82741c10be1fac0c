#include <gtest/gtest.h>

#include <string>

#include "tests/tokenizer/test_util.h"
#include "tokenizer/detokenizer.h"

namespace quire {
namespace {

// One added token, with id 5, in a model that knows "a", "b", "ab", " " and "_".
std::string One(absl::string_view content, absl::string_view flags) {
  return absl::StrCat(R"([{"id":5,"content":")", content, R"(","normalized":false,)", flags,
                      R"("special":false}])");
}

TestFile File(const std::string& added_tokens) {
  TestFile file;
  file.vocab = R"({"a":0,"b":1,"ab":2," ":3,"_":4})";
  file.added_tokens = added_tokens;
  return file;
}

// All expected by the `tokenizers` package.
TEST(AddedTokensTest, AreCutOutOfTheText) {
  const auto tokenizer = File(One("<x>", "")).LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "ab<x>ab<x><x>"), "ab|<x>|ab|<x>|<x>");
  EXPECT_EQ(Tokens(*tokenizer, "<x"), "");
  EXPECT_EQ(Tokens(*tokenizer, ""), "");
}

TEST(AddedTokensTest, StripTakesTheWhiteSpaceOnItsSide) {
  EXPECT_EQ(Tokens(*File(One("<x>", R"("lstrip":true,)")).LoadOrDie(), "a  <x>  b"), "a|<x>| | |b");
  EXPECT_EQ(Tokens(*File(One("<x>", R"("rstrip":true,)")).LoadOrDie(), "a  <x>\u3000 b"),
            "a| | |<x>|b");
  const auto both = File(One("<x>", R"("lstrip":true,"rstrip":true,)")).LoadOrDie();
  EXPECT_EQ(Tokens(*both, " <x> <x> "), "<x>|<x>");
}

TEST(AddedTokensTest, SingleWordsStandAlone) {
  const auto tokenizer = File(One("x", R"("single_word":true,)")).LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "x x, ax xb _x x_ \u00E9x x"), "x| |x| |a| |b| |_| |_| | |x");
  // A word character of UTS #18 that is no letter.
  EXPECT_EQ(Tokens(*tokenizer, "x\u200D x\u0301 x\u24B6 x-"), " | | |x");
}

TEST(AddedTokensTest, TheLongestOfThoseThatStartFirstIsTaken) {
  const auto tokenizer =
      File(
          R"([{"id":5,"content":"<<","normalized":false},{"id":6,"content":"<<<","normalized":false}])")
          .LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "<<<<<"), "<<<|<<");
}

TEST(AddedTokensTest, NormalizedOnesAreFoundInTheNormalisedText) {
  TestFile file = File(R"([{"id":5,"content":"\uFB01","normalized":true,"special":true},
                           {"id":6,"content":"<a>","normalized":false}])");
  file.normalizer = R"({"type":"NFKC"})";
  const auto tokenizer = file.LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "\uFF41fi\uFB01<a>\uFF1Ca>"), "a|\uFB01|\uFB01|<a>|a");
  EXPECT_EQ(tokenizer->Decode({5, 6}, false), "fi<a>");
  // What the decoder reads, "fi", is not what was declared special.
  EXPECT_EQ(tokenizer->Decode({5, 6}, true), "fi<a>");
  // A stream goes by what the file says of the id.
  EXPECT_TRUE(tokenizer->IsSpecial(5));
  IncrementalDetokenizer detokenizer(tokenizer.get(), /*skip_special_tokens=*/true);
  EXPECT_EQ(detokenizer.Append(5), "");
}

TEST(AddedTokensTest, OneOfTheModelKeepsItsId) {
  TestFile file = File(R"([{"id":2,"content":"ab","normalized":false,"special":true}])");
  const auto tokenizer = file.LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "aab"), "a|ab");
  EXPECT_TRUE(tokenizer->IsSpecial(2));
  EXPECT_FALSE(tokenizer->IsSpecial(0));
  EXPECT_EQ(tokenizer->Decode({0, 2}, true), "a");
  EXPECT_EQ(tokenizer->vocab_size(), 5);
}

TEST(AddedTokensTest, WhiteSpaceTokensThatStripTakeNoQuadraticTime) {
  const auto tokenizer = File(One("\\t", R"("lstrip":true,"rstrip":true,)")).LoadOrDie();
  const std::string text(1'000'000, '\t');
  EXPECT_LT(Seconds([&] { ASSERT_TRUE(tokenizer->Encode(text, false).ok()); }), 1.0);
}

}  // namespace
}  // namespace quire
