#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "tests/tokenizer/test_util.h"
#include "tokenizer/bpe_merge.h"

namespace quire {
namespace {

// By the definition: while any two neighbours merge, the lowest rank, the leftmost of equals.
void NaiveMerge(const MergeTable& merges, std::vector<TokenId>* word) {
  for (;;) {
    size_t best = 0;
    Merge merge;
    for (size_t i = 0; i + 1 < word->size(); ++i) {
      const Merge found = merges.Find((*word)[i], (*word)[i + 1]);
      if (found.rank < merge.rank) {
        merge = found;
        best = i;
      }
    }
    if (merge.rank == Merge::kNoRank) return;
    (*word)[best] = merge.result;
    word->erase(word->begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

TEST(BpeMergeTest, WordsOfAnyLengthAreMergedByTheDefinition) {
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    MergeTable merges;
    TokenId next = 3;
    for (uint32_t rank = 0; rank < 30; ++rank) {
      merges.Set(static_cast<TokenId>(random() % next), static_cast<TokenId>(random() % next),
                 {rank, next});
      ++next;
    }
    std::vector<TokenId> word(random() % 120);
    for (TokenId& symbol : word) symbol = static_cast<TokenId>(random() % 3);
    std::vector<TokenId> expected = word;
    NaiveMerge(merges, &expected);
    WordMerger().MergeAll(merges, &word);
    ASSERT_EQ(word, expected) << "round " << round;
  }
}

// The same over texts of tokens, which is what a file means; joined by "|".
std::string NaiveTokens(const std::vector<std::pair<std::string, std::string>>& merges,
                        absl::string_view text) {
  std::vector<std::string> word;
  for (const char c : text) word.emplace_back(1, c);
  for (;;) {
    size_t best_rank = merges.size();
    size_t best = 0;
    for (size_t i = 0; i + 1 < word.size(); ++i) {
      const auto found = std::find(merges.begin(), merges.end(), std::pair(word[i], word[i + 1]));
      const auto rank = static_cast<size_t>(found - merges.begin());
      if (rank < best_rank) {
        best_rank = rank;
        best = i;
      }
    }
    if (best_rank == merges.size()) return absl::StrJoin(word, "|");
    word[best] += word[best + 1];
    word.erase(word.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

// Long pieces are cut where no merge can cross: with "_" as Metaspace's mark, before it in the
// vocabularies where nothing else merges with it on its left, and nowhere in the others.
TEST(BpeTest, PiecesOfAnyLengthHaveTheTokensOfTheDefinition) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> tokens = {"_", "a", "b", "c"};
    std::vector<std::pair<std::string, std::string>> merges;
    for (int i = 0; i < 25; ++i) {
      const std::string left = tokens[random() % tokens.size()];
      const std::string right = tokens[random() % tokens.size()];
      const bool crosses = right[0] == '_' && left.back() != '_';
      const bool known = std::find(tokens.begin(), tokens.end(), left + right) != tokens.end();
      if (known || left.size() + right.size() > 6 || (crosses && round % 2 == 0)) continue;
      merges.emplace_back(left, right);
      tokens.push_back(left + right);
    }
    TestFile file;
    file.vocab.clear();
    for (size_t i = 0; i < tokens.size(); ++i) {
      absl::StrAppend(&file.vocab, i == 0 ? "{" : ",", "\"", tokens[i], "\":", i);
    }
    file.vocab += "}";
    file.merges.clear();
    for (const auto& [left, right] : merges) {
      absl::StrAppend(&file.merges, file.merges.empty() ? "[" : ",", "\"", left, " ", right, "\"");
    }
    file.merges += file.merges.empty() ? "[]" : "]";
    const auto tokenizer = file.LoadOrDie();
    for (const size_t size : {1U, 5U, 40U, 60U, 300U}) {
      std::string text;
      for (size_t i = 0; i < size; ++i) text += "_abc"[random() % 4];
      // Twice: the second time some words are known to be tokens.
      for (int again = 0; again < 2; ++again) {
        ASSERT_EQ(Tokens(*tokenizer, text), NaiveTokens(merges, text)) << file.Json();
      }
    }
  }
}

// Expected by the `tokenizers` package.
TEST(BpeTest, AnUnknownCharacterBecomesBytesOrTheUnknownTokenOrNothing) {
  TestFile file;
  EXPECT_EQ(Tokens(*file.LoadOrDie(), "a\u00E9\u00E8b"), "ab");
  file.model = R"("unk_token":"<unk>",)";
  EXPECT_EQ(Tokens(*file.LoadOrDie(), "a\u00E9\u00E8b"), "a|<unk>|<unk>|b");
  file.model = R"("unk_token":"<unk>","fuse_unk":true,)";
  EXPECT_EQ(Tokens(*file.LoadOrDie(), "a\u00E9\u00E8b \u00E9"), "a|<unk>|b| |<unk>");
  // The bytes of U+00E9 are there, those of U+00E8 are not; and a pending unknown token comes late.
  file.vocab = R"({"a":0,"b":1,"ab":2," ":3,"<unk>":4,"<0xC3>":5,"<0xA9>":6})";
  file.model = R"("unk_token":"<unk>","byte_fallback":true,)";
  EXPECT_EQ(Tokens(*file.LoadOrDie(), "a\u00E9b"), "a|<0xC3>|<0xA9>|b");
  EXPECT_EQ(Tokens(*file.LoadOrDie(), "\u00E8\u00E9\u00E8b"), "<0xC3>|<0xA9>|<unk>|<unk>|b");
}

TEST(BpeTest, AMissingUnknownTokenMattersOnlyWhereItIsNeeded) {
  TestFile file;
  file.model = R"("unk_token":"",)";  // GPT-2's file
  const auto tokenizer = file.LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "ab"), "ab");
  const auto ids = tokenizer->Encode("a\u00E9", false);
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      ids.status().message(),
      "the text has \"\u00E9\", which the tokenizer lacks, and its unk_token \"\" is not in its "
      "vocabulary");
}

TEST(BpeTest, IgnoreMergesTakesAPieceThatIsAToken) {
  TestFile file;
  file.vocab = R"({"a":0,"b":1,"ab":2,"ba":3})";
  EXPECT_EQ(Tokens(*file.LoadOrDie(), "ba"), "b|a");
  file.model = R"("ignore_merges":true,)";
  EXPECT_EQ(Tokens(*file.LoadOrDie(), "ba"), "ba");
  EXPECT_EQ(Tokens(*file.LoadOrDie(), "bab"), "b|ab");
}

TEST(BpeTest, ALaterMergeOfTheSameTokensReplacesTheEarlier) {
  TestFile file;
  file.vocab = R"({"a":0,"b":1,"ab":2,"c":3,"bc":4})";
  file.merges = R"([["a","b"],["b","c"],["a","b"]])";
  EXPECT_EQ(Tokens(*file.LoadOrDie(), "abc"), "a|bc");
}

}  // namespace
}  // namespace quire
