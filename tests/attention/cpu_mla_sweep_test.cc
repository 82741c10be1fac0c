// Seeded random batches of latent attention: shapes, page sizes and mixes that nobody thought of.
#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/mla_harness.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::CpuMlaBackend;
using ::quire::testing::KvEntry;
using ::quire::testing::PagedKv;

class CpuMlaSweepTest : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CpuMlaSweepTest, RandomBatchesMatchTheReference) {
  constexpr int kRounds = 60;
  std::mt19937 random(20241121);
  const auto pick = [&](int32_t low, int32_t high) {  // [low, high]
    return std::uniform_int_distribution<int32_t>(low, high)(random);
  };
  for (int round = 0; round < kRounds; ++round) {
    MlaShape shape;
    shape.num_heads = pick(0, 9) == 0 ? pick(40, 110) : pick(1, 20);
    shape.latent_dim = 2 * pick(1, pick(0, 3) == 0 ? 128 : 40);
    shape.nope_dim = 2 * pick(1, 40);
    shape.rope_dim = 2 * pick(1, 20);
    shape.value_dim = 2 * pick(1, 40);
    shape.rope_per_head = pick(0, 3) == 0;
    const int block_tokens = 16 << pick(0, 2);
    const DType dtype = pick(0, 1) == 0 ? DType::kBFloat16 : DType::kFloat32;
    const DType latent_type = pick(0, 1) == 0 ? DType::kFloat32 : dtype;
    std::vector<KvEntry> entries;
    for (int e = pick(1, 5); e > 0; --e) {
      const int32_t kv_tokens = pick(1, pick(0, 9) == 0 ? 1400 : 150);
      const int32_t most = std::min(kv_tokens, kv_tokens > 200 ? 4 : 60);
      entries.push_back({pick(0, 1) == 0 ? 1 : pick(1, most), kv_tokens});
    }
    PagedKv kv(testing::CacheShape(shape), block_tokens, dtype, entries, round);
    kv.FillNormal(round);
    CpuMlaBackend backend(GetParam(), shape, dtype, 1 + round % 3, kv.num_tokens());
    const auto describe = [&] {
      return ::testing::Message() << "round " << round << ": H " << shape.num_heads << " R "
                                  << shape.latent_dim << " Dn " << shape.nope_dim << " Dr "
                                  << shape.rope_dim << " Dv " << shape.value_dim << " per head "
                                  << shape.rope_per_head << " B " << block_tokens;
    };
    ASSERT_TRUE(testing::AbsorbedMatchesReference(GetParam(), backend, shape, kv, dtype,
                                                  latent_type, round + 1))
        << describe();
    ASSERT_TRUE(testing::PrefillMatchesReference(GetParam(), backend, shape, kv, round + 1))
        << describe();
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuMlaSweepTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
