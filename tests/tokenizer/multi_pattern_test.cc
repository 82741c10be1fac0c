#include "tokenizer/multi_pattern.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/tokenizer/test_util.h"

namespace quire {
namespace {

// "begin-end:pattern", joined by spaces.
std::string Describe(const std::vector<MultiPattern::Match>& matches) {
  std::string out;
  for (const MultiPattern::Match& match : matches) {
    absl::StrAppend(&out, match.begin, "-", match.end, ":", match.pattern, " ");
  }
  return out;
}

std::string NaiveFindAll(const std::vector<absl::string_view>& patterns, absl::string_view text) {
  std::vector<MultiPattern::Match> matches;
  for (size_t pos = 0; pos < text.size();) {
    int32_t best = -1;
    for (size_t i = 0; i < patterns.size(); ++i) {
      const bool longer = best < 0 || patterns[i].size() > patterns[best].size();
      if (longer && text.substr(pos, patterns[i].size()) == patterns[i]) {
        best = static_cast<int32_t>(i);
      }
    }
    if (best < 0) {
      ++pos;
      continue;
    }
    matches.push_back({pos, pos + patterns[best].size(), best});
    pos = matches.back().end;
  }
  return Describe(matches);
}

TEST(MultiPatternTest, FindsTheLeftmostAndOfThoseTheLongest) {
  const MultiPattern matcher({"ab", "abcd", "bcde", "e"});
  EXPECT_EQ(Describe(matcher.FindAll("abcde")), "0-4:1 4-5:3 ");
  EXPECT_EQ(Describe(matcher.FindAll("abce")), "0-2:0 3-4:3 ");
  EXPECT_EQ(Describe(matcher.FindAll("xbcde")), "1-5:2 ");
  EXPECT_EQ(Describe(matcher.FindAll("")), "");
}

TEST(MultiPatternTest, EqualsTheNaiveSearchOnRandomTexts) {
  std::mt19937 random(1);
  const auto word = [&](size_t most) {
    std::string text;
    for (size_t i = random() % most + 1; i > 0; --i) text += "ab\xC3"[random() % 3];
    return text;
  };
  for (int round = 0; round < 500; ++round) {
    std::vector<std::string> words;
    for (size_t i = random() % 12 + 1; i > 0; --i) words.push_back(word(5));
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    const std::vector<absl::string_view> patterns(words.begin(), words.end());
    const std::string text = word(60);
    ASSERT_EQ(Describe(MultiPattern(patterns).FindAll(text)), NaiveFindAll(patterns, text)) << text;
  }
}

TEST(MultiPatternTest, IsLinearWhereALongPatternFailsLate) {
  // At each "a" the long pattern looks alive for 50,000 bytes.
  const std::string longest = std::string(50'000, 'a') + "b";
  const MultiPattern matcher({"a", longest});
  const std::string text(1'000'000, 'a');
  EXPECT_LT(Seconds([&] { EXPECT_EQ(matcher.FindAll(text).size(), text.size()); }), 1.0);
}

TEST(MultiPatternTest, ManyThousandsOfPatternsCostNothingInTheText) {
  std::vector<std::string> words(50'000);
  for (size_t i = 0; i < words.size(); ++i) words[i] = absl::StrCat("<|reserved_", i, "|>");
  const std::vector<absl::string_view> patterns(words.begin(), words.end());
  const MultiPattern matcher(patterns);
  const std::string text = Repeat("<|reserved_12345|> <|reserved_x ", 1'000'000);
  EXPECT_LT(Seconds([&] { EXPECT_EQ(matcher.FindAll(text).size(), 31'250U); }), 1.0);
}

}  // namespace
}  // namespace quire
