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

INSTANTIATE_TEST_SUITE_P(Families, ComplexityTest,
                         testing::Values("gpt2", "qwen2", "llama3", "o200k", "cl100k",
                                         "deepseek_v3", "deepseek_v2", "llama2", "mistral", "gemma",
                                         "nfkc", "punctuation", "metaspace"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace quire
