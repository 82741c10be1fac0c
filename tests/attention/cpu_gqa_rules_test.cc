// Values of their own width, score rules and prefixes against the reference, on every instruction
// set, over a cache whose unseen memory is NaN and whose unseen block ids are wild.
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/gqa_cases.h"
#include "tests/attention/gqa_harness.h"
#include "tests/attention/rule_set.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::CpuBackend;
using ::quire::testing::GqaExtras;
using ::quire::testing::GqaRulesCase;
using ::quire::testing::HostMatrix;
using ::quire::testing::KeysOf;
using ::quire::testing::MatchesReference;
using ::quire::testing::PagedKv;
using ::quire::testing::RuleSet;
using ::quire::testing::RunGqa;
using ::quire::testing::RunGqaSlice;

class CpuGqaRulesTest : public ::testing::TestWithParam<std::tuple<CpuIsa, const GqaRulesCase*>> {
 protected:
  CpuIsa isa() const { return std::get<0>(GetParam()); }
  const GqaRulesCase& rules_case() const { return *std::get<1>(GetParam()); }
  static CpuAttentionLimits Limits() { return {.max_head_dim = 576, .max_value_dim = 512}; }
};

TEST_P(CpuGqaRulesTest, MatchesTheReference) {
  const GqaRulesCase& c = rules_case();
  CpuBackend backend(isa(), 2, Limits());
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    for (bool drop_old_pages : {true, false}) {
      PagedKv kv(c.shape, c.block_tokens, dtype, c.entries, 7, drop_old_pages, c.prefix);
      kv.FillNormal(8);
      const RuleSet rules(c.rules, c.shape.num_heads, KeysOf(kv), 5);
      HostMatrix q2(dtype, kv.num_tokens(), int64_t{c.shape.num_heads} * c.shape.head_dim);
      q2.FillNormal(6);
      const GqaExtras extras{rules.rules(), c.q2 ? &q2 : nullptr};
      EXPECT_TRUE(MatchesReference(isa(), backend, kv, dtype, 9, extras)) << DTypeName(dtype);
      if (c.shape.window == 0) break;
    }
  }
}

TEST_P(CpuGqaRulesTest, NeitherChunksNorBatchNorThreadsMatter) {
  const GqaRulesCase& c = rules_case();
  CpuBackend one(isa(), 1, Limits());
  CpuBackend backend(isa(), 8, Limits());
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    PagedKv kv(c.shape, c.block_tokens, dtype, c.entries, 7, false, c.prefix);
    kv.FillNormal(8);
    const RuleSet rules(c.rules, c.shape.num_heads, KeysOf(kv), 5);
    HostMatrix q2(dtype, kv.num_tokens(), int64_t{c.shape.num_heads} * c.shape.head_dim);
    q2.FillNormal(6);
    const GqaExtras extras{rules.rules(), c.q2 ? &q2 : nullptr};
    HostMatrix qkv(dtype, kv.num_tokens(), c.shape.qkv_width());
    qkv.FillNormal(2);
    const HostMatrix whole = RunGqa(one.attention(), kv, qkv, extras);
    EXPECT_TRUE(RunGqa(backend.attention(), kv, qkv, extras).SameBits(whole));
    for (int64_t e = 0; e < kv.num_entries(); ++e) {
      const int32_t first = kv.batch().query_start.data[e];
      const int32_t rows = kv.batch().query_start.data[e + 1] - first;
      for (int32_t begin = 0; begin < rows;) {
        const int32_t end = std::min(rows, begin + 1 + begin % 5);
        const HostMatrix chunk = RunGqaSlice(backend.attention(), kv, qkv, e, begin, end, extras);
        for (int32_t r = begin; r < end; ++r) {
          ASSERT_TRUE(chunk.SameRowBits(r - begin, whole, first + r))
              << DTypeName(dtype) << " entry " << e << " row " << r;
        }
        begin = end;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuGqaRulesTest,
                         ::testing::Combine(testing::AllIsas(),
                                            ::testing::ValuesIn(testing::GqaRulesCases())),
                         [](const ::testing::TestParamInfo<CpuGqaRulesTest::ParamType>& info) {
                           return std::string(CpuIsaName(std::get<0>(info.param))) + "_" +
                                  std::get<1>(info.param)->name;
                         });

class CpuGqaPrefixTest : public ::testing::TestWithParam<CpuIsa> {};

// With one query for both, keeping nothing out of the window is plain attention.
TEST_P(CpuGqaPrefixTest, RowsThatStillSeeEverythingHavePlainAttention) {
  CpuBackend backend(GetParam());
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    const GqaShape windowed{4, 2, 64, 64, 40};
    const GqaShape plain{4, 2, 64, 64, 0};
    PagedKv kv(windowed, 16, dtype, {{44, 44}}, 1, false, {4, false});
    PagedKv plain_kv(plain, 16, dtype, {{44, 44}}, 1, false);
    kv.FillNormal(3);
    plain_kv.FillNormal(3);
    HostMatrix qkv(dtype, 44, plain.qkv_width());
    qkv.FillNormal(1);
    const HostMatrix out = RunGqa(backend.attention(), kv, qkv);
    const HostMatrix want = RunGqa(*MakeReferenceAttention(), plain_kv, qkv);
    EXPECT_TRUE(testing::Near(out, want, [&](int64_t r, int64_t c) {
      return testing::GqaBound(GetParam(), kv, dtype, want.at(r, c));
    }));
  }
}

TEST_P(CpuGqaPrefixTest, APrefixWithoutItsPagesIsABug) {
  CpuBackend backend(GetParam());
  PagedKv kv({4, 2, 64, 64, 8}, 16, DType::kBFloat16, {{1, 40}}, 1, true, {20, false});
  HostMatrix qkv(DType::kBFloat16, 1, kv.shape().qkv_width());
  HostMatrix out(DType::kBFloat16, 1, kv.shape().out_width());
  GqaParams params{qkv.view(), out.view(), kv.shape(), 0.1F, kv.view(), {}, kv.prefix()};
  AttentionBatch batch = kv.batch();
  const int32_t prefix_start[] = {0, 1};
  batch.prefix_start.data = prefix_start;
  EXPECT_DEATH(backend.attention().Gqa(params, batch), "\\(1 vs. 2\\).*entry 0");
  params.prefix.shared = true;
  EXPECT_DEATH(backend.attention().Gqa(params, batch), "\\(0 vs. 20\\)");
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuGqaPrefixTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
