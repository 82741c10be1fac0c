// Attention among the rows of whole sequences, both ways: against the reference, and its bits.
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/encode_cases.h"
#include "tests/attention/gqa_harness.h"
#include "tests/attention/rule_set.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::BiasKind;
using ::quire::testing::CpuBackend;
using ::quire::testing::EncodeCase;
using ::quire::testing::HostMatrix;
using ::quire::testing::RuleSet;
using ::quire::testing::RunEncode;
using ::quire::testing::Starts;

CpuAttentionLimits Limits(int64_t tokens = 2000) {
  return {.encoder_tokens = tokens, .encoder_token_bytes = 8 * 2 * 128 * 4};
}

class CpuEncodeCaseTest : public ::testing::TestWithParam<std::tuple<CpuIsa, const EncodeCase*>> {};

TEST_P(CpuEncodeCaseTest, MatchesTheReference) {
  const auto& [isa, c] = GetParam();
  CpuBackend backend(isa, 2, Limits());
  const std::vector<int32_t> starts = Starts(c->lengths);
  const RuleSet rules(c->rules, c->shape.num_heads, testing::KeysOf(c->lengths), 5);
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    HostMatrix qkv(dtype, starts.back(), c->shape.qkv_width(), c->shape.qkv_width() + 6);
    qkv.FillNormal(1);
    const HostMatrix before(qkv);
    const HostMatrix out = RunEncode(backend.attention(), c->shape, qkv, starts, rules.rules());
    EXPECT_TRUE(qkv.SameBits(before));
    const HostMatrix want =
        RunEncode(*MakeReferenceAttention(), c->shape, qkv, starts, rules.rules());
    EXPECT_TRUE(testing::Near(out, want, [&](int64_t r, int64_t col) {
      return testing::AttendedBound(isa, c->shape.head_dim, dtype, dtype, want.at(r, col));
    })) << DTypeName(dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Isa, CpuEncodeCaseTest,
    ::testing::Combine(testing::AllIsas(),
                       ::testing::ValuesIn(testing::PointersTo(testing::kEncodeCases))),
    [](const ::testing::TestParamInfo<CpuEncodeCaseTest::ParamType>& info) {
      return std::string(CpuIsaName(std::get<0>(info.param))) + "_" + std::get<1>(info.param)->name;
    });

class CpuEncodeTest : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CpuEncodeTest, NeitherBatchNorThreadsNorLeftoversMatter) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    for (int window : {0, 20}) {
      const GqaShape shape{4, 2, 40, 40, window};
      const std::vector<int32_t> lengths = {5, 130, 1, 64, 77};
      const std::vector<int32_t> starts = Starts(lengths);
      HostMatrix qkv(dtype, starts.back(), shape.qkv_width());
      qkv.FillNormal(1);
      CpuBackend one(GetParam(), 1, Limits());
      const HostMatrix want = RunEncode(one.attention(), shape, qkv, starts);
      CpuBackend backend(GetParam(), 8, Limits());
      // All NaN: what stays in the scratch pages must not reach the next call.
      const HostMatrix poison(dtype, 2000, shape.qkv_width());
      RunEncode(backend.attention(), shape, poison, {0, 2000});
      for (int64_t s = 0; s < static_cast<int64_t>(lengths.size()); ++s) {
        HostMatrix alone(dtype, lengths[s], shape.out_width());
        const int32_t start[] = {0, lengths[s]};
        backend.attention().Encode({qkv.view().Rows(starts[s], lengths[s]), alone.view(), shape,
                                    testing::ScaleOf(shape), ScoreRules()},
                                   {start, 2});
        for (int32_t r = 0; r < lengths[s]; ++r) {
          ASSERT_TRUE(alone.SameRowBits(r, want, starts[s] + r))
              << "sequence " << s << " row " << r;
        }
      }
    }
  }
}

TEST_P(CpuEncodeTest, OtherSequencesDoNotMatterWhateverTheyHold) {
  CpuBackend backend(GetParam(), 2, Limits());
  const GqaShape shape{4, 2, 40, 40, 0};
  const std::vector<int32_t> starts = {0, 20, 31, 90};
  HostMatrix qkv(DType::kBFloat16, 90, shape.qkv_width());
  qkv.FillNormal(1);
  const HostMatrix want = RunEncode(backend.attention(), shape, qkv, starts);
  for (int64_t t = 20; t < 31; ++t) {
    for (int64_t col = 0; col < shape.qkv_width(); ++col) qkv.set(t, col, NAN);
  }
  const HostMatrix out = RunEncode(backend.attention(), shape, qkv, starts);
  for (int64_t t = 0; t < 90; ++t) EXPECT_EQ(out.SameRowBits(t, want, t), t < 20 || t >= 31) << t;
}

TEST_P(CpuEncodeTest, MoreSequencesThanTheScratchPagesHold) {
  const GqaShape shape{2, 1, 16, 16, 0};
  std::vector<int32_t> lengths;
  for (int s = 0; s < 300; ++s) lengths.push_back(1 + s % 5);
  const std::vector<int32_t> starts = Starts(lengths);
  const RuleSet rules({.bias = BiasKind::kPerHead}, 2, testing::KeysOf(lengths), 5);
  HostMatrix qkv(DType::kFloat32, starts.back(), shape.qkv_width());
  qkv.FillNormal(1);
  CpuBackend small(GetParam(), 2, Limits(64));
  CpuBackend large(GetParam(), 2, Limits(300 * 64));
  EXPECT_TRUE(RunEncode(small.attention(), shape, qkv, starts, rules.rules())
                  .SameBits(RunEncode(large.attention(), shape, qkv, starts, rules.rules())));
}

TEST_P(CpuEncodeTest, ASequenceLongerThanTheLimitIsABug) {
  const GqaShape shape{2, 1, 16, 16, 0};
  CpuBackend backend(GetParam(), 2, Limits(64));
  const HostMatrix qkv(DType::kFloat32, 6000, shape.qkv_width());
  EXPECT_DEATH(RunEncode(backend.attention(), shape, qkv, {0, 6000}), "longer than encoder_tokens");
  CpuBackend none(GetParam(), 2);
  EXPECT_DEATH(RunEncode(none.attention(), shape, qkv, {0, 6000}), "encoder_token_bytes");
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuEncodeTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
