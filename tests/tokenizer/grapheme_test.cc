#include "tokenizer/grapheme.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace quire {
namespace {

// The clusters of `text`, each followed by "|".
std::string Clusters(absl::string_view text) {
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = GraphemeEnd(text, pos);
    absl::StrAppend(&out, text.substr(pos, end - pos), "|");
    pos = end;
  }
  return out;
}

// The rules of UAX #29 by their names there; "|" stands where a cluster ends.
TEST(GraphemeTest, ClustersEndWhereTheStandardSays) {
  for (const absl::string_view clusters : {
           "a|b|",                                                   // GB999
           "\r\n|\r|\r\n|\n|",                                       // GB3 to GB5
           "a|\r|\u0301|",                                           // GB4
           "\u200B|\u0301|",                                         // GB4
           "\u1100\u1161\u11A8|\u1100|",                             // GB6 to GB8
           "\uAC00\u11A8|\uAC01\u11A8|\u1161|",                      // GB7, GB8
           "\uAC01|\u1161|",                                         //
           "e\u0301\u0316|a|",                                       // GB9
           "\u0301|a|",                                              //
           "\u0915\u093E|",                                          // GB9a
           "\u0600a|\u0600|\r\n|",                                   // GB9b
           "\u0915\u094D\u0924|\u0915\u094D\u200D\u0924|",           // GB9c
           "\u0915\u094D\u200C|\u0924|",                             //
           "\u0915|\u0924\u094D|a|",                                 //
           "\U0001F469\u200D\u2764\uFE0F\u200D\U0001F468|",          // GB11
           "\u00A9\u0301\u200D\u00A9|a\u200D|\u00A9|",               //
           "\u00A9\u200D\u0301|\u00A9|",                             //
           "\U0001F1E9\U0001F1EA|\U0001F1EF\U0001F1F5|\U0001F1E9|",  // GB12
       }) {
    std::string text(clusters);
    text.erase(std::remove(text.begin(), text.end(), '|'), text.end());
    EXPECT_EQ(Clusters(text), clusters);
  }
}

TEST(GraphemeTest, KnowsCharactersOfUnicode17WhateverTheLibraryDoes) {
  EXPECT_EQ(Clusters("a\u1ACF\u1AEB"), "a\u1ACF\u1AEB|");  // marks
  EXPECT_EQ(Clusters("a\u2605"), "a|\u2605|");
  EXPECT_EQ(Clusters("\u2605\u200D\u2605"), "\u2605\u200D|\u2605|");  // no longer a pictograph
  EXPECT_EQ(Clusters("\u1000\u1039\u1000"), "\u1000\u1039\u1000|");   // Myanmar conjuncts
}

}  // namespace
}  // namespace quire
