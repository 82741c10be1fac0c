// Mixtures of experts on the CPU: right on every instruction set, and a row's bits are its own.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/reference/reference_ops.h"
#include "tests/ops/experts_harness.h"
#include "tests/testing/isas.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::ApplyExperts;
using ::quire::testing::ExpertsInput;
using ::quire::testing::ExpertsShape;
using ::quire::testing::HostMatrix;
using ::quire::testing::LinearSource;
using ::quire::testing::MakeRandomExperts;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};

class CpuExpertsTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  std::unique_ptr<Ops> MakeOps(ThreadPool& pool) {
    CpuOpsOptions options;
    options.max_rows = 150;
    return MakeCpuOps(pool, memory_, GetParam(), options);
  }

  ThreadPool pool_{3};
  HostMemory memory_{pool_};
};

TEST_P(CpuExpertsTest, ExpertsMatchTheReference) {
  const auto ops = MakeOps(pool_);
  const auto reference = MakeReferenceOps(memory_);
  ExpertsShape odd{.num_experts = 5, .top_k = 5, .hidden = 33, .ffn = 7};
  ExpertsShape clamped{.activation = {Activation::kClampedSwiglu, 1.5F, 1.7F}};
  ExpertsShape gelu{.bias = false, .activation = {Activation::kGeluTanh}};
  for (const ExpertsShape& shape : {ExpertsShape{}, odd, clamped, gelu}) {
    for (DType act : kActs) {
      const auto experts = MakeRandomExperts(*ops, shape, act);
      const auto expected = MakeRandomExperts(*reference, shape, act);
      for (int64_t rows : {1, 2, 40, 150}) {
        const ExpertsInput input(shape, act, rows, 9);
        const HostMatrix got = ApplyExperts(*ops, *experts, input, 0, rows);
        const HostMatrix want = ApplyExperts(*reference, *expected, input, 0, rows);
        EXPECT_TRUE(testing::NearExperts(got, want, act, shape.top_k)) << rows;
      }
    }
  }
}

// The law that a result is summed by hand from Apply's own bits.
TEST_P(CpuExpertsTest, ARowIsTheOrderedSumOfItsExperts) {
  const auto ops = MakeOps(pool_);
  const ExpertsShape shape;
  for (DType act : kActs) {
    ExpertsSpec spec{.top_k = shape.top_k, .act_dtype = act};
    std::vector<const Linear*> gate_up;
    std::vector<const Linear*> down;
    for (int expert = 0; expert < shape.num_experts; ++expert) {
      const LinearSource up(shape.hidden, act, {{2 * shape.ffn, act, true}}, 2 * expert);
      const LinearSource back(shape.ffn, act, {{shape.hidden, act, true}}, 2 * expert + 1);
      spec.gate_up.push_back(ops->MakeLinear(up.spec()).value());
      spec.down.push_back(ops->MakeLinear(back.spec()).value());
      gate_up.push_back(spec.gate_up.back().get());
      down.push_back(spec.down.back().get());
    }
    const auto experts = ops->MakeExperts(std::move(spec)).value();
    const ExpertsInput input(shape, act, 30, 4);
    const HostMatrix got = ApplyExperts(*ops, *experts, input, 0, 30);
    for (int64_t r = 0; r < 30; ++r) {
      std::vector<float> sum(shape.hidden, 0.0F);
      for (int j = 0; j < shape.top_k; ++j) {
        const int32_t expert = input.ids[r * shape.top_k + j];
        HostMatrix wide(act, 1, 2 * shape.ffn);
        HostMatrix narrow(act, 1, shape.ffn);
        HostMatrix back(DType::kFloat32, 1, shape.hidden);
        ops->Apply(*gate_up[expert], input.x.view().Rows(r, 1), wide.view());
        ops->GatedActivation({}, wide.view(), narrow.view());
        ops->Apply(*down[expert], narrow.view(), back.view());
        for (int64_t i = 0; i < shape.hidden; ++i) {
          const float weight = input.weights.at(r, j);
          sum[i] = GetParam() == CpuIsa::kPortable ? weight * back.at(0, i) + sum[i]
                                                   : std::fma(weight, back.at(0, i), sum[i]);
        }
      }
      for (int64_t i = 0; i < shape.hidden; ++i) ASSERT_EQ(got.at(r, i), sum[i]);
    }
  }
}

TEST_P(CpuExpertsTest, ARowHasTheSameBitsInAnyBatch) {
  const auto ops = MakeOps(pool_);
  const ExpertsShape shape;
  for (DType act : kActs) {
    const auto experts = MakeRandomExperts(*ops, shape, act);
    const ExpertsInput input(shape, act, 150, 3);
    const HostMatrix all = ApplyExperts(*ops, *experts, input, 0, 150);
    for (int64_t rows : {1, 2, 5, 33, 100}) {
      const int64_t first = 150 - rows;
      const HostMatrix some = ApplyExperts(*ops, *experts, input, first, rows);
      for (int64_t r = 0; r < rows; ++r) ASSERT_TRUE(some.SameRowBits(r, all, first + r)) << rows;
    }
  }
}

TEST_P(CpuExpertsTest, BitsDoNotDependOnTheThreads) {
  const ExpertsShape shape;
  for (DType act : kActs) {
    const ExpertsInput input(shape, act, 60, 3);
    std::vector<HostMatrix> results;
    for (int threads : {1, 2, 5}) {
      ThreadPool pool(threads);
      const auto ops = MakeOps(pool);
      results.push_back(ApplyExperts(*ops, *MakeRandomExperts(*ops, shape, act), input, 0, 60));
      EXPECT_TRUE(results.back().SameBits(results.front())) << threads;
    }
  }
}

// The scratch that they share fits the greatest.
TEST_P(CpuExpertsTest, LayersOfOtherSizesMayTakeTurns) {
  const auto ops = MakeOps(pool_);
  const ExpertsShape wide{.num_experts = 3, .top_k = 2, .hidden = 40, .ffn = 200};
  const ExpertsShape many{.num_experts = 12, .top_k = 6, .hidden = 100, .ffn = 20};
  const auto first = MakeRandomExperts(*ops, wide, DType::kBFloat16);
  const ExpertsInput wide_input(wide, DType::kBFloat16, 150, 3);
  const HostMatrix before = ApplyExperts(*ops, *first, wide_input, 0, 150);
  const auto second = MakeRandomExperts(*ops, many, DType::kFloat32);
  const ExpertsInput many_input(many, DType::kFloat32, 150, 3);
  const HostMatrix other = ApplyExperts(*ops, *second, many_input, 0, 150);
  EXPECT_TRUE(ApplyExperts(*ops, *first, wide_input, 0, 150).SameBits(before));
  EXPECT_TRUE(ApplyExperts(*ops, *second, many_input, 0, 150).SameBits(other));
}

TEST_P(CpuExpertsTest, ARowOfNanStaysAlone) {
  const auto ops = MakeOps(pool_);
  const ExpertsShape shape;
  const auto experts = MakeRandomExperts(*ops, shape, DType::kBFloat16);
  ExpertsInput input(shape, DType::kBFloat16, 30, 3);
  for (int64_t i = 0; i < shape.hidden; ++i) input.x.set(7, i, NAN);
  const HostMatrix out = ApplyExperts(*ops, *experts, input, 0, 30);
  for (int64_t r = 0; r < 30; ++r) EXPECT_EQ(std::isnan(out.at(r, 0)), r == 7) << r;
}

TEST_P(CpuExpertsTest, BytesAreThoseOfTheLinears) {
  const auto ops = MakeOps(pool_);
  const auto experts =
      MakeRandomExperts(*ops, {.num_experts = 2, .top_k = 1, .hidden = 64, .ffn = 32}, kActs[0]);
  EXPECT_EQ(experts->bytes(), 2 * ((64 * 64 * 2 + 64 * 4) + (64 * 32 * 2 + 64 * 4)));
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuExpertsTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
