#include "tokenizer/unigram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/tokenizer/test_util.h"

namespace quire {
namespace {

TestFile File(absl::string_view vocab, absl::string_view options = R"("unk_id":0)") {
  TestFile file;
  file.whole_model = absl::StrCat(R"({"type":"Unigram",)", options, R"(,"vocab":[)", vocab, "]}");
  return file;
}

constexpr char kVocab[] =
    R"(["<unk>",0],["a",-1],["b",-1.5],["ab",-2.5],["<0xC3>",-4],["<0xA9>",-4])";

// The best score of any way to write `text`, by trying all of them.
double BestScore(const std::map<std::string, double>& scores, double unknown_score,
                 const std::string& text) {
  if (text.empty()) return 0;
  double best = -std::numeric_limits<double>::infinity();
  for (size_t size = 1; size <= text.size(); ++size) {
    const auto it = scores.find(text.substr(0, size));
    if (it == scores.end() && size > 1) continue;
    const double first = it == scores.end() ? unknown_score : it->second;
    best = std::max(best, first + BestScore(scores, unknown_score, text.substr(size)));
  }
  return best;
}

TEST(UnigramTest, TheTokensHaveTheHighestScoreOfAllWaysToWriteTheText) {
  std::mt19937 random(1);
  const auto word = [&](size_t most) {
    std::string text;
    for (size_t i = random() % most + 1; i > 0; --i) text += "abc"[random() % 3];
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    std::map<std::string, double> scores;
    std::string vocab = R"(["?",0])";
    double lowest = 0;
    for (int i = 0; i < 8; ++i) {
      const double score = -static_cast<double>(random() % 40) / 4;  // their sums are exact
      const std::string token = word(4);
      if (!scores.emplace(token, score).second) continue;
      lowest = std::min(lowest, score);
      absl::StrAppend(&vocab, ",[\"", token, "\",", score, "]");
    }
    const auto tokenizer = File(vocab).LoadOrDie();
    const std::string text = word(12);
    const auto ids = tokenizer->Encode(text, false);
    ASSERT_TRUE(ids.ok()) << ids.status();
    double score = 0;
    size_t known = 0;
    for (const TokenId id : *ids) {
      if (id == 0) continue;
      const std::string token(tokenizer->IdToToken(id));
      score += scores.at(token);
      known += token.size();
    }
    score += (lowest - 10) * static_cast<double>(text.size() - known);
    ASSERT_EQ(score, BestScore(scores, lowest - 10, text)) << text << " in " << vocab;
  }
}

// Expected by the `tokenizers` package.
TEST(UnigramTest, OfEquallyGoodTokensTheLongestStands) {
  EXPECT_EQ(Tokens(*File(kVocab).LoadOrDie(), "aab"), "a|ab");
}

TEST(UnigramTest, UnknownCharactersThatMeetAreOneToken) {
  const auto tokenizer = File(kVocab).LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "xyab\u4E2D"), "<unk>|ab|<unk>");
  EXPECT_EQ(Tokens(*tokenizer, "<unk>"), "<unk>");
  EXPECT_EQ(Tokens(*tokenizer, "x<unk>y"), "<unk>");
  // Only where unknown characters score higher than tokens can two of them make one.
  const auto strange = File(R"(["<unk>",40],["a",30],["xy",30])").LoadOrDie();
  EXPECT_EQ(Tokens(*strange, "axyxy"), "a|<unk>");
  EXPECT_EQ(Tokens(*strange, "axya"), "a|xy|a");
}

TEST(UnigramTest, UnknownCharactersBecomeBytesWhereAllOfThemHaveTokens) {
  const auto tokenizer = File(kVocab, R"("unk_id":0,"byte_fallback":true)").LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "a\u00E9b"), "a|<0xC3>|<0xA9>|b");
  EXPECT_EQ(Tokens(*tokenizer, "\u00E9\u00E9"), "<0xC3>|<0xA9>|<0xC3>|<0xA9>");
  EXPECT_EQ(Tokens(*tokenizer, "\u00E9x"), "<unk>");  // the run as a whole
}

TEST(UnigramTest, WithoutAnUnknownTokenTextsThatNeedItAreRefused) {
  const auto tokenizer = File(kVocab, R"("unk_id":null)").LoadOrDie();
  EXPECT_EQ(Tokens(*tokenizer, "abb"), "ab|b");
  EXPECT_EQ(
      Tokens(*tokenizer, "ax"),
      "INVALID_ARGUMENT: the text has \"x\", which the tokenizer lacks, and it has no unk_id");
}

TEST(UnigramTest, OldFilesDoNotNameTheModel) {
  TestFile file;
  file.whole_model = absl::StrCat(R"({"unk_id":0,"vocab":[)", kVocab, "]}");
  EXPECT_EQ(Tokens(*file.LoadOrDie(), "ab"), "ab");
}

TEST(UnigramTest, TheModelSaysWhatIsWrongInIt) {
  const std::string expected = ", expected a token and its score, as [\"a\", -1.5]";
  EXPECT_EQ(Message(File(R"(["a",0],["b"])")),
            "test.json: model.vocab[1]: found an array" + expected);
  EXPECT_EQ(Message(File(R"(["a",0,1])")), "test.json: model.vocab[0]: found an array" + expected);
  EXPECT_EQ(Message(File(R"(["a","b"])")), "test.json: model.vocab[0]: found an array" + expected);
  EXPECT_EQ(Message(File("7")), "test.json: model.vocab[0]: found 7" + expected);
  EXPECT_EQ(Message(File(R"(["a",0],["b",0],["a",1])")),
            "test.json: model.vocab: the tokens 0 and 2 are both \"a\"; each may occur once");
  EXPECT_EQ(Message(File(R"(["a",0])", R"("unk_id":1)")),
            "test.json: model.unk_id: found 1, expected an integer from 0 to 0");
  EXPECT_EQ(Message(File("")), "test.json: model.vocab: it is empty, but unk_id is set");
  EXPECT_EQ(Message(File("", R"("unk_id":null)")), "ok");
  TestFile file;
  file.whole_model = R"({"type":"Unigram","vocab":{}})";
  EXPECT_EQ(Message(file),
            "test.json: model.vocab: found an object, expected an array of [token, score]");
}

}  // namespace
}  // namespace quire
