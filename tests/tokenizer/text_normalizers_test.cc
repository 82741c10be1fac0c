#include "tokenizer/text_normalizers.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/tokenizer/test_util.h"
#include "tokenizer/normalizer.h"

namespace quire {
namespace {

// What the normaliser of this JSON makes of `text`, or why there is none.
std::string Normalized(absl::string_view json, absl::string_view text) {
  const auto document = JsonDocument::FromText(json, "f");
  QUIRE_CHECK(document.ok()) << document.status();
  const auto normalizer = ReadNormalizer((*document)->root());
  if (!normalizer.ok()) return std::string(normalizer.status().message());
  CpuLimit cpu_limit = CpuLimit::ForText(text.size());
  NormalizedText normalized = {std::string(text), true, &cpu_limit};
  QUIRE_CHECK((*normalizer)->Normalize(&normalized).ok());
  return normalized.text;
}

std::string Bert(absl::string_view clean_text, absl::string_view handle_chinese_chars,
                 absl::string_view strip_accents, absl::string_view lowercase) {
  return absl::StrCat(R"({"type":"BertNormalizer","clean_text":)", clean_text,
                      R"(,"handle_chinese_chars":)", handle_chinese_chars, R"(,"strip_accents":)",
                      strip_accents, R"(,"lowercase":)", lowercase, "}");
}

// Expected by the `tokenizers` package.
TEST(TextNormalizersTest, EachStepOfBertDoesWhatItsNameSays) {
  const std::string text("\u00C0\x01\tb\u00A0\uFFFD\u4E2D\u0130\0", 16);
  EXPECT_EQ(Normalized(Bert("false", "false", "false", "false"), text), text);
  EXPECT_EQ(Normalized(Bert("true", "false", "false", "false"), text), "\u00C0 b \u4E2D\u0130");
  EXPECT_EQ(Normalized(Bert("false", "true", "false", "false"), "a\u4E2D\uAC00"),
            "a \u4E2D \uAC00");
  EXPECT_EQ(Normalized(Bert("false", "false", "true", "false"), "\u00C0\u1E9B\u0323\uAC00"),
            "A\u017F\u1100\u1161");
  EXPECT_EQ(Normalized(Bert("false", "false", "false", "true"), "\u00C0\u0130\u03A3"),
            "\u00E0i\u0307\u03C3");
}

TEST(TextNormalizersTest, AccentsGoWithTheCaseUnlessTheFileSays) {
  EXPECT_EQ(Normalized(Bert("true", "true", "null", "true"), "\u00C0"), "a");
  EXPECT_EQ(Normalized(Bert("true", "true", "null", "false"), "\u00C0"), "\u00C0");
  EXPECT_EQ(Normalized(Bert("true", "true", "false", "true"), "\u00C0"), "\u00E0");
}

TEST(TextNormalizersTest, AlbertsAndNmtsStepsDoWhatTheirNamesSay) {
  EXPECT_EQ(Normalized(R"({"type":"Lowercase"})", "A\u00C0\u1C89"), "a\u00E0\u1C8A");
  EXPECT_EQ(Normalized(R"({"type":"StripAccents"})", "a\u0301\u0903\u20DD\u00E0"), "a\u00E0");
  EXPECT_EQ(Normalized(R"({"type":"Nmt"})", "a\tb\x0B\u200B\u2581\x7F\u0085"), "a b  \u0085");
}

TEST(TextNormalizersTest, PrecompiledRulesReplaceShortClustersAsAWhole) {
  const auto golden = JsonDocument::FromFile(GoldenPath("t5.json"));
  ASSERT_TRUE(golden.ok()) << golden.status();
  const auto steps = (*golden)->root().Member("normalizer")->Member("normalizers")->Elements();
  const auto rules = ReadNormalizer(steps->front());
  ASSERT_TRUE(rules.ok()) << rules.status();
  const auto normalized = [&](absl::string_view text) {
    NormalizedText out = {std::string(text), true, nullptr};
    QUIRE_CHECK((*rules)->Normalize(&out).ok());
    return out.text;
  };
  // The rules are OWN_RULES of tools/make_tokenizer_golden.py.
  EXPECT_EQ(normalized("e\u0301"), "\u00E9");
  EXPECT_EQ(normalized("o\u0301"), "o\u0300");  // no rule for both: character by character
  EXPECT_EQ(normalized("ab\u00BD"), "ab1/2");   // two clusters, so the rule of "ab" has no use
  EXPECT_EQ(normalized("\uFB01\u0301"), "fi");  // the rule of the first character takes all
  EXPECT_EQ(normalized("\uFB01\u0301\u0301"), "fi\u0300\u0300");  // six bytes and more
}

TEST(TextNormalizersTest, FaultyPrecompiledRulesAreNamed) {
  EXPECT_EQ(Normalized(R"({"type":"Precompiled"})", ""), "f: \"precompiled_charsmap\" is missing");
  EXPECT_EQ(Normalized(R"({"type":"Precompiled","precompiled_charsmap":"!"})", ""),
            "f: precompiled_charsmap: found \"!\", expected a text in base64");
  EXPECT_EQ(Normalized(R"({"type":"Precompiled","precompiled_charsmap":""})", ""),
            "f: precompiled_charsmap: the rules are malformed: they have 0 bytes, at least 4 are "
            "expected");
}

}  // namespace
}  // namespace quire
