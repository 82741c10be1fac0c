// Seeded random batches: shapes, page sizes, windows and mixes that nobody thought of.
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/gqa_harness.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::CpuBackend;
using ::quire::testing::KvEntry;
using ::quire::testing::PagedKv;

class CpuAttentionSweepTest : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CpuAttentionSweepTest, RandomBatchesMatchTheReference) {
  constexpr int kRounds = 100;
  CpuBackend backend(GetParam(), 3);
  std::mt19937 random(20240817);
  const auto pick = [&](int32_t low, int32_t high) {  // [low, high]
    return std::uniform_int_distribution<int32_t>(low, high)(random);
  };
  for (int round = 0; round < kRounds; ++round) {
    GqaShape shape;
    shape.num_kv_heads = pick(1, 3);
    shape.num_heads = shape.num_kv_heads * (pick(0, 9) == 0 ? pick(40, 60) : pick(1, 9));
    shape.head_dim = 2 * pick(1, pick(0, 3) == 0 ? 128 : 40);
    shape.value_dim = shape.head_dim;
    shape.window = pick(0, 1) == 0 ? 0 : pick(1, 200);
    const int block_tokens = 16 << pick(0, 2);
    const DType dtype = pick(0, 1) == 0 ? DType::kBFloat16 : DType::kFloat32;
    std::vector<KvEntry> entries;
    for (int e = pick(1, 5); e > 0; --e) {
      const int32_t kv_tokens = pick(1, pick(0, 9) == 0 ? 1400 : 150);
      const int32_t most = std::min(kv_tokens, kv_tokens > 200 ? 4 : 40);
      entries.push_back({pick(0, 1) == 0 ? 1 : pick(1, most), kv_tokens});
    }
    PagedKv kv(shape, block_tokens, dtype, entries, round, pick(0, 1) == 0);
    kv.FillNormal(round);
    ASSERT_TRUE(testing::MatchesReference(GetParam(), backend, kv, dtype, round + 1))
        << "round " << round << ": H " << shape.num_heads << " Hkv " << shape.num_kv_heads << " D "
        << shape.head_dim << " window " << shape.window << " B " << block_tokens;
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuAttentionSweepTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
