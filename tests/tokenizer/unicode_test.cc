#include "tokenizer/unicode.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>
#include <string>

#include "tests/tokenizer/test_util.h"
#include "tokenizer/unicode_normalize.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

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

// The tables of unicode_data.h settle what the libraries' versions may lack. A library that knows
// Unicode 17 would class its new characters, which the package does not know: those ranges must
// then be added, as unassigned, and tests/golden/tokenizer made to cover them.
TEST(UnicodeVersionTest, TheTablesCoverTheLibraries) {
  char pcre2[64] = "";
  ASSERT_GT(pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, pcre2), 0);
  const char* const utf8proc = utf8proc_unicode_version();
  for (const char* version : {static_cast<const char*>(pcre2), utf8proc}) {
    EXPECT_GE(std::atoi(version), 14) << version;
    EXPECT_LE(std::atoi(version), 16) << version;
  }
}

TEST(ClassesTest, WhiteSpaceAndWordsAreThoseOfTheStandard) {
  std::string spaces;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (IsWhitespace(c)) absl::StrAppend(&spaces, absl::Hex(static_cast<uint32_t>(c)), " ");
  }
  EXPECT_EQ(spaces,
            "9 a b c d 20 85 a0 1680 2000 2001 2002 2003 2004 2005 2006 2007 2008 2009 200a 2028 "
            "2029 202f 205f 3000 ");
  for (const char32_t c : {0x24B6U, 0x24E9U, 0x1F130U, 0x1F189U, 0x200CU}) EXPECT_TRUE(IsWord(c));
  for (const char32_t c : {0x24B5U, 0x24EAU, 0x1F14AU, 0x1F18AU, 0x200EU}) EXPECT_FALSE(IsWord(c));
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
