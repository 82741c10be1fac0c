// A megabyte of anything takes time linear in it (or n log n): what is quadratic would take hours.
#include <gtest/gtest.h>

#include <string>

#include "tests/tokenizer/test_util.h"

namespace quire {
namespace {

class ComplexityTest : public testing::TestWithParam<const char*> {};

// A hundred times what it takes on a slow machine, a thousandth of what quadratic time would be.
constexpr double kMostSeconds = 5;

TEST_P(ComplexityTest, MegabytesOfOneThingTakeNoQuadraticTime) {
  const auto tokenizer = LoadGolden(GetParam());
  for (const absl::string_view unit :
       {"a", "Ab", "\u4E2D", "e\u0301", "\u0301\u0316", "1", "!", " ", "\n", " \n", "\t", "\u3000",
        "\u2581", "\U0001F600", "'s", "<|im_start|", "\xFF"}) {
    // What follows the run makes patterns that look ahead fail at its end.
    for (const absl::string_view end : {"", "x"}) {
      const std::string text = absl::StrCat(Repeat(unit, 200'000), end);
      const double seconds = Seconds([&] {
        const auto ids = tokenizer->Encode(text, false);
        ASSERT_TRUE(ids.ok()) << ids.status();
        tokenizer->Decode(*ids, false);
      });
      EXPECT_LT(seconds, kMostSeconds / 5) << "of " << unit;
    }
  }
}

TEST_P(ComplexityTest, AMegabyteOfASingleWordOrOfSpacesTakesNoQuadraticTime) {
  const auto tokenizer = LoadGolden(GetParam());
  for (const absl::string_view unit : {"a", " ", "\n"}) {
    const std::string text = Repeat(unit, 1'000'000) + "x";
    EXPECT_LT(Seconds([&] { ASSERT_TRUE(tokenizer->Encode(text, false).ok()); }), kMostSeconds);
  }
}

// The models without a pre-tokenizer: the whole text is one piece.
TEST(ModelComplexityTest, AMegabyteInOnePieceTakesNoQuadraticTimeInUnigramAndWordPiece) {
  std::string tokens = R"(["?",0])";
  std::string vocab = R"("?":0)";
  for (int size = 1; size <= 100; ++size) {
    const std::string token(static_cast<size_t>(size), 'a');
    absl::StrAppend(&tokens, ",[\"", token, "\",", -size, "]");
    absl::StrAppend(&vocab, ",\"##", token, "\":", 2 * size, ",\"", token, "\":", 2 * size + 1);
  }
  TestFile unigram;
  unigram.whole_model = absl::StrCat(R"({"type":"Unigram","unk_id":0,"vocab":[)", tokens, "]}");
  TestFile word_piece;
  word_piece.whole_model =
      absl::StrCat(R"({"type":"WordPiece","unk_token":"?","continuing_subword_prefix":"##",)",
                   R"("max_input_chars_per_word":10000000,"vocab":{)", vocab, "}}");
  for (const TestFile* file : {&unigram, &word_piece}) {
    const auto tokenizer = file->LoadOrDie();
    for (const absl::string_view unit : {"a", "b", "aab", "\u4E2D"}) {
      const std::string text = Repeat(unit, 1'000'000) + "x";
      EXPECT_LT(Seconds([&] { ASSERT_TRUE(tokenizer->Encode(text, false).ok()); }), kMostSeconds);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ComplexityTest,
                         testing::Values("gpt2", "qwen2", "llama3", "o200k", "cl100k",
                                         "deepseek_v3", "deepseek_v2", "llama2", "mistral", "gemma",
                                         "nfkc", "punctuation", "metaspace", "bert", "bert_cased",
                                         "xlm_r", "t5", "albert", "unigram_bytes"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace quire
