// Seeded random products: sizes that nobody thought of, against the reference and against
// themselves in other company.
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/reference/reference_ops.h"
#include "tests/testing/isas.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;
using ::quire::testing::LinearSource;
using ::quire::testing::PartSpec;

class CpuOpsSweepTest : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CpuOpsSweepTest, RandomProductsMatchTheReferenceAndThemselves) {
  constexpr int kRounds = 100;
  ThreadPool pool(3);
  HostMemory memory(pool);
  const auto ops = MakeCpuOps(pool, memory, GetParam(), {});
  const auto reference = MakeReferenceOps(memory);
  std::mt19937 random(20240817);
  const auto pick = [&](int64_t low, int64_t high) {  // [low, high]
    return std::uniform_int_distribution<int64_t>(low, high)(random);
  };
  const DType stored[] = {DType::kBFloat16, DType::kFloat16, DType::kFloat32};
  for (int round = 0; round < kRounds; ++round) {
    const DType act = pick(0, 1) == 0 ? DType::kBFloat16 : DType::kFloat32;
    const int64_t k = pick(0, 5) == 0 ? pick(1000, 2500) : pick(1, 300);
    const int64_t m = pick(0, 3) == 0 ? pick(1, 300) : pick(1, 30);
    std::vector<PartSpec> parts;
    for (int64_t part = pick(1, 3); part > 0; --part) {
      parts.push_back({pick(1, 120), stored[pick(0, 2)], pick(0, 1) == 0});
    }
    const LinearSource source(k, act, parts, round);
    const int64_t n = source.out_features();
    const auto linear = ops->MakeLinear(source.spec()).value();
    const auto expected = reference->MakeLinear(source.spec()).value();
    HostMatrix x(act, m, k, k + pick(0, 9));
    x.FillNormal(round);
    HostMatrix y(act, m, n, n + pick(0, 9));
    HostMatrix want(act, m, n);
    ops->Apply(*linear, x.view(), y.view());
    reference->Apply(*expected, x.view(), want.view());
    // |x| is about sqrt(K), |w| about 1; see cpu_linear_test for the walk of the sum.
    const double root = std::sqrt(static_cast<double>(k)) + 8;
    ASSERT_TRUE(testing::Near(y, want,
                              [&](int64_t r, int64_t c) {
                                return 2 * root * 0x1p-24 * 1.5 * root +
                                       2 * testing::RoundingError(act, want.at(r, c));
                              }))
        << "round " << round << " K " << k << " N " << n << " M " << m;
    const int64_t row = pick(0, m - 1);
    HostMatrix alone(act, 1, n);
    ops->Apply(*linear, x.view().Rows(row, 1), alone.view());
    ASSERT_TRUE(alone.SameRowBits(0, y, row)) << "round " << round;
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuOpsSweepTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
