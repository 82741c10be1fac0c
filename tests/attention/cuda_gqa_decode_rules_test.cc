// Decode attention's kernels, emulated, under all rules of scores and with prefixes, against the
// reference. With it the law: a row's bits depend on its query and on what it sees.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/gqa_cases.h"
#include "tests/attention/gqa_decode_harness.h"
#include "tests/attention/gqa_harness.h"
#include "tests/attention/rule_set.h"

namespace quire {
namespace {

using ::quire::testing::DecodeQueries;
using ::quire::testing::EmulatedDecode;
using ::quire::testing::FewHeads;
using ::quire::testing::FewRows;
using ::quire::testing::GqaExtras;
using ::quire::testing::GqaRulesCase;
using ::quire::testing::HostMatrix;
using ::quire::testing::KeysOf;
using ::quire::testing::NearReference;
using ::quire::testing::PagedKv;
using ::quire::testing::RuleSet;
using ::quire::testing::RunGqa;
using ::quire::testing::RunGqaSlice;

constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat32};

std::vector<const GqaRulesCase*> CasesThatFit() {
  std::vector<const GqaRulesCase*> cases = testing::GqaRulesCases();
  std::erase_if(cases, [](const GqaRulesCase* c) {
    return std::max(c->shape.head_dim, c->shape.value_dim) > kGqaDecodeMostDim;
  });
  return cases;
}

class CudaGqaDecodeRulesTest : public ::testing::TestWithParam<const GqaRulesCase*> {};

// And alone, with other threads first, in a larger launch or on fewer blocks, to the bit.
TEST_P(CudaGqaDecodeRulesTest, MatchesTheReferenceHoweverItIsRun) {
  const GqaRulesCase& c = *GetParam();
  for (DType dtype : kTypes) {
    PagedKv kv(FewHeads(c.shape), c.block_tokens, dtype, FewRows(c.entries, 2, 3), 7,
               /*drop_old_pages=*/dtype == DType::kBFloat16, c.prefix);
    kv.FillNormal(8);
    const RuleSet rules(c.rules, kv.shape().num_heads, KeysOf(kv), 5);
    HostMatrix q2(dtype, kv.num_tokens(), int64_t{kv.shape().num_heads} * c.shape.head_dim);
    q2.FillNormal(6);
    const GqaExtras extras{rules.rules(), c.q2 ? &q2 : nullptr};
    const HostMatrix qkv = DecodeQueries(kv, dtype);
    EmulatedDecode together({.detect_races = false});
    const HostMatrix whole = RunGqa(together, kv, qkv, extras);
    EXPECT_TRUE(NearReference(whole, kv, qkv, extras)) << DTypeName(dtype);

    EmulatedDecode alone(
        {.seed = 3, .more_splits = 2, .max_blocks = 2, .detect_races = dtype == DType::kBFloat16});
    for (int64_t e = 0; e < kv.num_entries(); ++e) {
      const int32_t first = kv.batch().query_start.data[e];
      const int32_t rows = kv.batch().query_start.data[e + 1] - first;
      if (rows == 0) continue;
      const HostMatrix row = RunGqaSlice(alone, kv, qkv, e, 0, 1, extras);
      EXPECT_TRUE(row.SameRowBits(0, whole, first)) << DTypeName(dtype) << " entry " << e;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaGqaDecodeRulesTest, ::testing::ValuesIn(CasesThatFit()),
                         [](const auto& info) { return info.param->name; });

}  // namespace
}  // namespace quire
