// The CPU's samplers, and the arithmetic of all.
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_sampler.h"
#include "ops/sampling_math.h"
#include "tests/ops/sampler_suite.h"

namespace quire {
namespace {

std::vector<TestedSampler> CpuSamplers() {
  static ThreadPool pool(2);
  std::vector<TestedSampler> samplers;
  for (const CpuIsa isa : AvailableCpuIsas()) {
    samplers.push_back({std::string(CpuIsaName(isa)),
                        [isa](int64_t vocab) { return MakeCpuSampler(pool, isa, vocab); }});
  }
  return samplers;
}

INSTANTIATE_TEST_SUITE_P(Isa, SamplerTest, ::testing::ValuesIn(CpuSamplers()), SamplerName);

TEST(SamplingMath, WeightsAreMonotoneAndAsExactAsStated) {
  uint64_t last = Exp2Weight(-41.5F);
  EXPECT_EQ(last, 0U);
  for (double t = -40.9; t < 0; t += 0.0137) {
    const uint64_t weight = Exp2Weight(static_cast<float>(t));
    const double exact = std::exp2(static_cast<float>(t)) * static_cast<double>(kUnitWeight);
    EXPECT_LE(std::abs(static_cast<double>(weight) - exact), 1 + exact * 2e-7) << t;
    EXPECT_GE(weight, last);
    last = weight;
  }
  EXPECT_EQ(Exp2Weight(0.0F), kUnitWeight);
  EXPECT_EQ(Exp2Weight(kNan), 0U);
}

// Known answers of the published generator, from its authors' test vectors.
TEST(SamplingMath, PhiloxMeetsThePublishedVectors) {
  using Four = std::array<uint32_t, 4>;
  EXPECT_EQ(Philox({0, 0, 0, 0}, {0, 0}), (Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(SamplingMath, DrawsDependOnSeedSequenceAndPosition) {
  EXPECT_EQ(RandomBits(1, 2, 3), RandomBits(1, 2, 3));
  EXPECT_NE(RandomBits(1, 2, 3), RandomBits(2, 2, 3));
  EXPECT_NE(RandomBits(1, 2, 3), RandomBits(1, 3, 3));
  EXPECT_NE(RandomBits(1, 2, 3), RandomBits(1, 2, 4));
  EXPECT_NE(RandomBits(1, 2, uint64_t{3} << 32), RandomBits(1, 2, 3));
}

}  // namespace
}  // namespace quire
