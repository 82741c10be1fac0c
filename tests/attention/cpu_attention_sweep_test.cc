// Seeded random batches: shapes, page sizes, windows, rules and mixes that nobody thought of.
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/attention/gqa_harness.h"
#include "tests/attention/rule_set.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::BiasKind;
using ::quire::testing::CpuBackend;
using ::quire::testing::HostMatrix;
using ::quire::testing::KvEntry;
using ::quire::testing::PagedKv;
using ::quire::testing::PrefixSpec;
using ::quire::testing::RuleSet;
using ::quire::testing::RuleSpec;

// Numbers from [low, high], evenly.
class Dice {
 public:
  explicit Dice(uint32_t seed) : random_(seed) {}
  int32_t Pick(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  bool OneIn(int32_t n) { return Pick(1, n) == 1; }

 private:
  std::mt19937 random_;
};

GqaShape PickShape(Dice& dice) {
  GqaShape shape;
  shape.num_kv_heads = dice.Pick(1, 3);
  shape.num_heads = shape.num_kv_heads * (dice.OneIn(10) ? dice.Pick(40, 60) : dice.Pick(1, 9));
  shape.head_dim = 2 * dice.Pick(1, dice.OneIn(4) ? 128 : 40);
  shape.value_dim = dice.OneIn(2) ? shape.head_dim : 2 * dice.Pick(1, dice.OneIn(4) ? 128 : 40);
  shape.window = dice.OneIn(2) ? 0 : dice.Pick(1, 200);
  return shape;
}

RuleSpec PickRules(Dice& dice, bool with_bias) {
  RuleSpec rules;
  if (dice.OneIn(4)) rules.softcap = 0.5F * static_cast<float>(dice.Pick(1, 20));
  rules.alibi = dice.OneIn(4);
  rules.sinks = dice.OneIn(4);
  if (with_bias && dice.OneIn(4)) {
    rules.bias = dice.OneIn(2) ? BiasKind::kShared : BiasKind::kPerHead;
  }
  return rules;
}

DType PickType(Dice& dice) { return dice.OneIn(2) ? DType::kBFloat16 : DType::kFloat32; }

std::string Describe(int round, const GqaShape& shape, const RuleSpec& rules) {
  return absl::StrCat("round ", round, ": H ", shape.num_heads, " Hkv ", shape.num_kv_heads, " D ",
                      shape.head_dim, " Dv ", shape.value_dim, " window ", shape.window,
                      " softcap ", rules.softcap, " alibi ", rules.alibi, " bias ",
                      static_cast<int>(rules.bias), " sinks ", rules.sinks);
}

class CpuAttentionSweepTest : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CpuAttentionSweepTest, RandomBatchesMatchTheReference) {
  constexpr int kRounds = 150;
  CpuBackend backend(GetParam(), 3);
  Dice dice(20240817);
  for (int round = 0; round < kRounds; ++round) {
    const GqaShape shape = PickShape(dice);
    PrefixSpec prefix;
    if (dice.OneIn(3)) prefix = {dice.Pick(1, 70), shape.window == 0 || dice.OneIn(2)};
    const RuleSpec spec = PickRules(dice, prefix.tokens == 0);
    const int block_tokens = 16 << dice.Pick(0, 2);
    const DType dtype = PickType(dice);
    std::vector<KvEntry> entries;
    for (int e = dice.Pick(1, 5); e > 0; --e) {
      const int32_t kv_tokens = dice.Pick(1, dice.OneIn(10) ? 1400 : 150);
      const int32_t most = std::min(kv_tokens, kv_tokens > 200 ? 4 : 40);
      entries.push_back({dice.OneIn(2) ? 1 : dice.Pick(1, most), kv_tokens});
    }
    PagedKv kv(shape, block_tokens, dtype, entries, round, dice.OneIn(2), prefix);
    kv.FillNormal(round);
    std::vector<int32_t> keys;
    for (int64_t t = 0; t < kv.num_tokens(); ++t) keys.push_back(kv.batch().positions.data[t] + 1);
    const RuleSet rules(spec, shape.num_heads, keys, round);
    HostMatrix q2(dtype, kv.num_tokens(), int64_t{shape.num_heads} * shape.head_dim);
    q2.FillNormal(round + 2);
    const testing::GqaExtras extras{rules.rules(), dice.OneIn(2) ? &q2 : nullptr};
    ASSERT_TRUE(testing::MatchesReference(GetParam(), backend, kv, dtype, round + 1, extras))
        << Describe(round, shape, spec) << " prefix " << prefix.tokens << " B " << block_tokens;
  }
}

TEST_P(CpuAttentionSweepTest, RandomEncoderBatchesMatchTheReference) {
  constexpr int kRounds = 40;
  CpuBackend backend(GetParam(), 3,
                     {.encoder_tokens = 700, .encoder_token_bytes = 3 * 2 * 256 * 4});
  Dice dice(20250304);
  for (int round = 0; round < kRounds; ++round) {
    const GqaShape shape = PickShape(dice);
    const RuleSpec spec = PickRules(dice, true);
    const DType dtype = PickType(dice);
    std::vector<int32_t> starts = {0};
    std::vector<int32_t> keys;
    for (int s = dice.Pick(1, 6); s > 0; --s) {
      const int32_t length = dice.OneIn(40) ? 600 : dice.Pick(s == 1 ? 1 : 0, 80);
      keys.insert(keys.end(), length, length);
      starts.push_back(starts.back() + length);
    }
    const RuleSet rules(spec, shape.num_heads, keys, round);
    HostMatrix qkv(dtype, starts.back(), shape.qkv_width());
    qkv.FillNormal(round);
    const auto run = [&](Attention& attention) {
      HostMatrix out(dtype, starts.back(), shape.out_width());
      attention.Encode({qkv.view(), out.view(), shape, testing::ScaleOf(shape), rules.rules()},
                       {starts.data(), static_cast<int64_t>(starts.size())});
      return out;
    };
    const HostMatrix want = run(*MakeReferenceAttention());
    ASSERT_TRUE(testing::Near(run(backend.attention()), want, [&](int64_t r, int64_t c) {
      return testing::AttendedBound(GetParam(), shape.head_dim, dtype, dtype, want.at(r, c));
    })) << Describe(round, shape, spec);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuAttentionSweepTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
