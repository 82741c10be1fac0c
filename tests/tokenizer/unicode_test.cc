#include "tokenizer/unicode.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/tokenizer/test_util.h"
#include "tokenizer/unicode_normalize.h"

namespace quire {
namespace {

// Expected by Python: bytes.decode("utf-8", "replace"). "?" stands for U+FFFD.
TEST(Utf8Test, EachMaximalSubpartOfAnInvalidSequenceBecomesOneReplacement) {
  const struct {
    absl::string_view bytes;
    absl::string_view text;
  } cases[] = {
      {"a\x80z", "a?z"},                    // a lone continuation
      {"\xC0\xAF", "??"},                   // overlong: no byte of it can start anything
      {"\xC3", "?"},                        // cut off
      {"\xE2\x96", "?"},                    //
      {"\xE2\x96z", "?z"},                  //
      {"\xE0\x80\x80", "???"},              // overlong in three bytes
      {"\xED\xA0\x80", "???"},              // a surrogate
      {"\xF0\x9F\x98", "?"},                //
      {"\xF0\x9F\xE2\x96\x81", "?\u2581"},  // a character right behind a cut one
      {"\xF4\x90\x80\x80", "????"},         // above U+10FFFF
      {"\xF5\xFF", "??"},                   //
      {"\xF0\x9F\x98\x80", "\U0001F600"},   // valid
      {absl::string_view("\0\x7F", 2), absl::string_view("\0\x7F", 2)},
  };
  for (const auto& c : cases) {
    std::string expected;
    for (const char byte : c.text) {
      expected += byte == '?' ? std::string(kReplacementCharacter) : std::string(1, byte);
    }
    EXPECT_EQ(ReplaceInvalidUtf8(c.bytes), expected);
  }
}

TEST(Utf8Test, BytesInAnyChunksGiveTheTextOfAll) {
  const std::string bytes = "a\xF0\x9F\x98\x80\xE2\x96\xED\xA0\x80\xC3\xA9\xF0\x9F\x98\x80\xFF\xE2";
  for (size_t chunk = 1; chunk <= bytes.size(); ++chunk) {
    std::string text;
    std::string pending;
    for (size_t pos = 0; pos < bytes.size(); pos += chunk) {
      pending += bytes.substr(pos, chunk);
      pending.erase(0, pending.size() - AppendReplacingInvalid(pending, &text));
    }
    text += ReplaceInvalidUtf8(pending);
    EXPECT_EQ(text, ReplaceInvalidUtf8(bytes)) << "in chunks of " << chunk;
  }
}

TEST(NormalizeTest, ComposesAndDecomposes) {
  EXPECT_EQ(Normalize(NormalForm::kNfc, "e\u0301 a\u0323\u0304"), "\u00E9 \u1EA1\u0304");
  EXPECT_EQ(Normalize(NormalForm::kNfd, "\u00E9"), "e\u0301");
  EXPECT_EQ(Normalize(NormalForm::kNfc, "\u1112\u1161\u11AB"), "\uD55C");
  EXPECT_EQ(Normalize(NormalForm::kNfkc, "\uFB01\u2460\uFF76\uFF9E"), "fi1\u30AC");
  EXPECT_EQ(Normalize(NormalForm::kNfkd, "\u00BD"), "1\u20442");
  EXPECT_EQ(Normalize(NormalForm::kNfc, ""), "");
}

TEST(NormalizeTest, ACharacterNewerThanUnicode9StaysAsItIs) {
  // U+32FF (Unicode 12.1) has a compatibility decomposition, U+1ABF (13) a combining class.
  EXPECT_EQ(Normalize(NormalForm::kNfkc, "\u32FF"), "\u32FF");
  EXPECT_EQ(Normalize(NormalForm::kNfd, "a\u0301\u1ABF\u0316"), "a\u0301\u1ABF\u0316");
}

TEST(NormalizeTest, AMegabyteOfCombiningMarksTakesNoQuadraticTime) {
  // Each pair is out of order: bubbling them up would take 10^10 swaps.
  const std::string marks = Repeat("\u0301\u0316", 1'000'000);
  for (const NormalForm form :
       {NormalForm::kNfc, NormalForm::kNfd, NormalForm::kNfkc, NormalForm::kNfkd}) {
    EXPECT_LT(Seconds([&] { Normalize(form, marks); }), 1.0);
  }
}

}  // namespace
}  // namespace quire
