#include "server/sequence_text.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace quire {
namespace {

// Feeds the text in pieces and joins what comes out.
std::string Feed(StopMatcher& matcher, const std::vector<std::string>& pieces) {
  std::string out;
  for (const std::string& piece : pieces) {
    out += matcher.Append(piece, true);
    if (matcher.matched()) return out;
  }
  return out + matcher.Finish();
}

TEST(StopMatcher, TextWithoutAMatchComesOutWhole) {
  StopMatcher matcher({"END", "xyz"}, false);
  EXPECT_EQ(Feed(matcher, {"an E", "N", "X x", "y", "", "EN"}), "an ENX xyEN");
  EXPECT_FALSE(matcher.matched());
}

TEST(StopMatcher, WhatMayBecomeAStopStringIsHeldBackAndNoMore) {
  StopMatcher matcher({"abc", "bcd"}, false);
  EXPECT_EQ(matcher.Append("xa", true), "x");
  EXPECT_EQ(matcher.Append("b", true), "");
  EXPECT_EQ(matcher.Append("z", true), "abz");
  EXPECT_EQ(matcher.Append("ab", true), "");
  EXPECT_EQ(matcher.Append("bc", true), "ab");
  EXPECT_EQ(matcher.Append("d!", true), "");
  EXPECT_EQ(matcher.matched(), "bcd");
  EXPECT_EQ(matcher.Append("more", true), "");
}

TEST(StopMatcher, TheFirstStopStringToBeCompleteEndsTheText) {
  StopMatcher first({"abcd", "bc"}, false);
  EXPECT_EQ(Feed(first, {"xabcd"}), "xa");
  EXPECT_EQ(first.matched(), "bc");
  StopMatcher longest({"bc", "abc"}, false);
  EXPECT_EQ(Feed(longest, {"xabc"}), "x");
  EXPECT_EQ(longest.matched(), "abc");
  StopMatcher included({"bc"}, true);
  EXPECT_EQ(Feed(included, {"xab", "cd"}), "xabc");
}

TEST(StopMatcher, TextBelowTheMinimumCompletesNoMatch) {
  StopMatcher matcher({"ab"}, false);
  EXPECT_EQ(matcher.Append("xabx", false), "xabx");
  EXPECT_EQ(matcher.Append("a", false), "");
  EXPECT_EQ(matcher.Append("b", true), "");  // it may begin there
  EXPECT_EQ(matcher.matched(), "ab");
}

TEST(StopMatcher, WhereThePiecesAreCutMakesNoDifference) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 3000; ++trial) {
    const auto letters = [&](size_t count) {
      std::string text;
      for (size_t i = 0; i < count; ++i) text += static_cast<char>('a' + random() % 2);
      return text;
    };
    const std::string text = letters(30);
    const std::vector<std::string> stops = {letters(1 + random() % 7), letters(1 + random() % 7)};
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t length = 1 + random() % 6;
      pieces.push_back(text.substr(at, length));
      at += length;
    }
    std::vector<std::string> bytes;
    for (char c : text) bytes.emplace_back(1, c);
    StopMatcher by_piece(stops, trial % 2 == 0);
    StopMatcher by_byte(stops, trial % 2 == 0);
    ASSERT_EQ(Feed(by_piece, pieces), Feed(by_byte, bytes))
        << text << " " << stops[0] << " " << stops[1];
    ASSERT_EQ(by_piece.matched(), by_byte.matched());
  }
}

}  // namespace
}  // namespace quire
