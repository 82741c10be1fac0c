// Values of their own width, score rules and prefixes in the CUDA attention of prompt rows,
// emulated, over a cache whose unseen memory is unwritten and whose unseen block ids are wild.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/cuda_gqa_harness.h"
#include "tests/attention/gqa_cases.h"
#include "tests/attention/gqa_harness.h"
#include "tests/attention/rule_set.h"

namespace quire {
namespace {

using ::quire::testing::EmulatedPrompts;
using ::quire::testing::ExpectGqaReference;
using ::quire::testing::GqaExtras;
using ::quire::testing::GqaRulesCase;
using ::quire::testing::HostMatrix;
using ::quire::testing::IsSmall;
using ::quire::testing::KeysOf;
using ::quire::testing::PagedKv;
using ::quire::testing::RuleSet;
using ::quire::testing::RunGqa;
using ::quire::testing::RunGqaSlice;

// Of the cases that are too long for the emulation, shorter ones; a GPU runs all as they are.
const GqaRulesCase kShorterCases[] = {
    {"LatentPrefillShort", {1, 1, 192, 128, 0}, 64, {{7, 140}}, {}, {}},
    {"WidestOfAllShort", {1, 1, 576, 512, 0}, 64, {{3, 70}}, {}, {}},
    {"CapShort", {4, 2, 64, 64, 0}, 16, {{1, 33}, {20, 140}}, testing::kCapRules, {}},
    {"AlibiDecodeShort", {8, 8, 64, 64, 0}, 16, {{1, 1}, {1, 129}}, testing::kAlibiRules, {}},
    {"AlibiPrefillShort", {16, 1, 80, 80, 0}, 32, {{17, 60}}, testing::kAlibiRules, {}},
    {"SinksOverTiles", {4, 2, 64, 64, 0}, 16, {{1, 128}, {3, 300}}, testing::kSinkRules, {}},
    {"AllRulesShort", {8, 2, 96, 64, 0}, 32, {{15, 70}, {1, 5}, {1, 130}}, testing::kAllRules, {}},
    {"KeepTwoPagesAndOneShort", {4, 2, 64, 64, 20}, 16, {{17, 90}}, {}, {33, false}, true},
    {"LearnedWithRulesShort",
     {4, 1, 64, 64, 0},
     16,
     {{9, 90}, {1, 200}},
     testing::kAllRulesButBias,
     {4, true}},
};

std::vector<const GqaRulesCase*> ShortCases() {
  std::vector<const GqaRulesCase*> cases = testing::GqaRulesCases();
  for (const GqaRulesCase& c : kShorterCases) cases.push_back(&c);
  return testing::SmallOf(cases);
}

TEST(CudaGqaRulesCases, NoShorterOneIsLeftOut) {
  for (const GqaRulesCase& c : kShorterCases) {
    EXPECT_TRUE(IsSmall(c.shape, c.entries, DType::kBFloat16)) << c.name;
  }
}

class CudaGqaRulesTest : public ::testing::TestWithParam<const GqaRulesCase*> {};

TEST_P(CudaGqaRulesTest, MatchesTheReference) {
  const GqaRulesCase& c = *GetParam();
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    if (!IsSmall(c.shape, c.entries, dtype)) continue;
    for (bool drop_old_pages : {true, false}) {
      PagedKv kv(c.shape, c.block_tokens, dtype, c.entries, 7, drop_old_pages, c.prefix);
      kv.FillNormal(8);
      const RuleSet rules(c.rules, c.shape.num_heads, KeysOf(kv), 5);
      HostMatrix q2(dtype, kv.num_tokens(), int64_t{c.shape.num_heads} * c.shape.head_dim);
      q2.FillNormal(6);
      EmulatedPrompts prompts({.seed = drop_old_pages ? 0U : 3U, .detect_races = false});
      ExpectGqaReference(prompts, kv, dtype, {rules.rules(), c.q2 ? &q2 : nullptr});
      if (c.shape.window == 0 || !c.prefix.shared) break;
    }
  }
}

// Law: chunks whose rows stand at other places of tiles, threads in another order.
TEST_P(CudaGqaRulesTest, ChunksDoNotMatter) {
  const GqaRulesCase& c = *GetParam();
  PagedKv kv(c.shape, c.block_tokens, DType::kBFloat16, c.entries, 7, false, c.prefix);
  kv.FillNormal(8);
  const RuleSet rules(c.rules, c.shape.num_heads, KeysOf(kv), 5);
  HostMatrix q2(DType::kBFloat16, kv.num_tokens(), int64_t{c.shape.num_heads} * c.shape.head_dim);
  q2.FillNormal(6);
  const GqaExtras extras{rules.rules(), c.q2 ? &q2 : nullptr};
  HostMatrix qkv(DType::kBFloat16, kv.num_tokens(), c.shape.qkv_width());
  qkv.FillNormal(2);
  EmulatedPrompts prompts, shuffled({.seed = 11, .resident_blocks = 3, .detect_races = false});
  const HostMatrix whole = RunGqa(prompts, kv, qkv, extras);
  for (int64_t e = 0; e < kv.num_entries(); ++e) {
    const int32_t first = kv.batch().query_start.data[e];
    const int32_t rows = kv.batch().query_start.data[e + 1] - first;
    for (int32_t begin = 0, end = 0; begin < rows; begin = end) {
      end = std::min(rows, begin + 3 + begin * 5);
      const HostMatrix chunk = RunGqaSlice(shuffled, kv, qkv, e, begin, end, extras);
      for (int32_t r = begin; r < end; ++r) {
        ASSERT_TRUE(chunk.SameRowBits(r - begin, whole, first + r))
            << "entry " << e << " row " << r;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaGqaRulesTest, ::testing::ValuesIn(ShortCases()),
                         [](const ::testing::TestParamInfo<const GqaRulesCase*>& info) {
                           return std::string(info.param->name);
                         });

}  // namespace
}  // namespace quire
