#include "tokenizer/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/tokenizer/test_util.h"

namespace quire {
namespace {

using testing::HasSubstr;

// Each match in < >.
std::string Matches(absl::string_view pattern, absl::string_view text) {
  const auto regex = Regex::Compile(pattern);
  if (!regex.ok()) return std::string(regex.status().message());
  std::string out;
  CpuLimit cpu_limit = CpuLimit::ForText(text.size());
  const absl::Status status = (*regex)->FindAll(text, &cpu_limit, [&](size_t begin, size_t end) {
    absl::StrAppend(&out, "<", text.substr(begin, end - begin), ">");
  });
  return status.ok() ? out : std::string(status.message());
}

// Expected by Oniguruma, through the `tokenizers` package.
TEST(RegexTest, MatchesAsOniguruma) {
  EXPECT_EQ(Matches(R"(\s+)", "a \u0085\u3000b\u180Ec"), "< \u0085\u3000>");  // PCRE2: U+180E too
  EXPECT_EQ(Matches(R"(\p{L}+)", "a\U00031350\u0301b"), "<a\U00031350><b>");  // a Unicode 15 letter
  EXPECT_EQ(Matches(R"([^\s\p{L}]+)", "\U00031350\u00BD\u180E"), "<\u00BD\u180E>");
  EXPECT_EQ(Matches(R"(\p{Han}+)", "\u3001\u4E2D\u30FC"), "<\u4E2D>");  // not Script_Extensions
  EXPECT_EQ(Matches(R"(\w+)", "\u00B2\u0301_1\u24B6"), "<\u00B2\u0301_1\u24B6>");
  EXPECT_EQ(Matches(R"([\w]+)", "\u00B2\u0301_"), "<\u0301_>");  // \w is another in a class
  EXPECT_EQ(Matches(R"([^\S\r\n]+)", " \t\n "), "< \t>< >");
  EXPECT_EQ(Matches(R"([a[^b]]+)", "abc"), "<a><c>");
  EXPECT_EQ(Matches(R"(\v)", "\n\v"), "<\v>");
  EXPECT_EQ(Matches(".+", "a\rb\nc"), "<a\rb><c>");
  EXPECT_EQ(Matches("^.|.$", "ab\ncd"), "<a><b><c><d>");
  EXPECT_EQ(Matches("(?i:'s|k)", "'S\u017F'\u017F\u212A"), "<'S><'\u017F><\u212A>");
  EXPECT_EQ(Matches(R"(\d{1,3}(?=(?:\d{3})*\b))", "1234567 12"), "<1><234><567><12>");
  EXPECT_EQ(Matches(R"(a?+b++|c*+)", "aabbc"), "<><abb><c>");
}

TEST(RegexTest, WhatOnigurumaReadsDifferentlyIsRefusedByName) {
  const std::pair<absl::string_view, absl::string_view> cases[] = {
      {R"(\h)", "\\h is not supported"},
      {"[a&&b]", "\"&&\" is not supported"},
      {"[[:alpha:]]", "\"[:\" is not supported"},
      {R"((a)\1)", "\\1 is not supported"},
      {"(?m:.)", "\"(?m\" is not supported"},
      {"a(?i)b|c", "\"(?i\" is not supported"},
      {"a**", "a repeat of a repeat"},
      {"a{2}+", "an interval followed by"},
      {"a{2}?", "an interval followed by"},
      {"a{,2}", "an incomplete interval"},
      {"(?i:ss)", "\"ss\" under (?i"},
      {"(?i:\u00DF)", "beyond ASCII under (?i"},
      {R"(\p{Greek})", "\\p{Greek}"},
      {R"(\xFF)", "this \\x or \\u escape"},
      {"[b-a]", "a range that runs backwards"},
      {"[]", "\"]\" at the start of a class"},
      {"[a", "\"[\" without \"]\""},
      {"a\\", "a backslash at the end"},
      {"(a", "not a valid pattern: "},
      {"*", "not a valid pattern: "},
  };
  for (const auto& [pattern, message] : cases) {
    const auto regex = Regex::Compile(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(regex.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(regex.status().message()), HasSubstr(std::string(message)));
  }
  EXPECT_FALSE(Regex::Compile(std::string(100'000, '[')).ok());
  EXPECT_FALSE(Regex::Compile(std::string(100'000, '(')).ok());
}

TEST(RegexTest, AnEmptyMatchIsSkippedWhereAnotherHasEnded) {
  EXPECT_EQ(Matches("b*", "abba"), "<><bb><>");  // at 0, [1, 3), at 4; not at 3
  EXPECT_EQ(Matches("x*", "\u00E9"), "<><>");
  EXPECT_EQ(Matches("x*", ""), "<>");
}

TEST(RegexTest, RunawayBacktrackingIsAnError) {
  EXPECT_THAT(Matches("(a+)+$", std::string(50, 'a') + "b"), HasSubstr("gave up on this text"));
}

// A text cut in pieces must not have the limit's time for each.
TEST(RegexTest, TheLimitOfTimeIsOneForAllSearches) {
  const auto regex = Regex::Compile("a(?=a*[bc])");
  ASSERT_TRUE(regex.ok());
  const std::string text(4000, 'a');  // each byte looks ahead to the end: some milliseconds
  const auto search = [&](CpuLimit* limit) {
    return (*regex)->FindAll(text, limit, [](size_t, size_t) {});
  };
  constexpr double kSeconds = 0.3;
  CpuLimit of_all(kSeconds);
  absl::Status status;
  int searches = 0;
  for (; status.ok() && searches < 2000; ++searches) status = search(&of_all);
  EXPECT_THAT(std::string(status.message()), HasSubstr("gave up on this text"));
  EXPECT_GT(searches, 1);
  CpuLimit of_one(kSeconds);
  EXPECT_TRUE(search(&of_one).ok());
  // What is over is over for short texts too, if there are enough of them.
  for (searches = 0, status = absl::OkStatus(); status.ok() && searches < 1000; ++searches) {
    status = (*regex)->FindAll("x", &of_all, [](size_t, size_t) {});
  }
  EXPECT_FALSE(status.ok());
}

TEST(RegexTest, TrailingSpacePatternOfDeepSeekIsLinear) {
  const auto regex = Regex::Compile(R"(\s+$)");
  ASSERT_TRUE(regex.ok());
  const std::string text = std::string(1'000'000, ' ') + "x";
  CpuLimit cpu_limit = CpuLimit::ForText(text.size());
  EXPECT_LT(Seconds([&] { (void)(*regex)->FindAll(text, &cpu_limit, [](size_t, size_t) {}); }),
            0.5);
  EXPECT_EQ(Matches(R"(\s+$)", "  a  \n b \n\n"), "<  >< \n\n>");
}

}  // namespace
}  // namespace quire
