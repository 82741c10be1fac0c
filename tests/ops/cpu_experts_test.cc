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
#include "tests/testing/isas.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;
using ::quire::testing::LinearSource;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};

struct Shape {
  int num_experts = 8;
  int top_k = 3;
  int64_t hidden = 72;
  int64_t ffn = 40;
  bool bias = true;
  ActivationParams activation;
};

std::unique_ptr<Experts> Make(Ops& ops, const Shape& shape, DType act) {
  ExpertsSpec spec{.activation = shape.activation, .top_k = shape.top_k, .act_dtype = act};
  for (int expert = 0; expert < shape.num_experts; ++expert) {
    const LinearSource up(shape.hidden, act, {{2 * shape.ffn, act, shape.bias}}, 2 * expert);
    const LinearSource down(shape.ffn, act, {{shape.hidden, act, shape.bias}}, 2 * expert + 1);
    spec.gate_up.push_back(ops.MakeLinear(up.spec()).value());
    spec.down.push_back(ops.MakeLinear(down.spec()).value());
  }
  return ops.MakeExperts(std::move(spec)).value();
}

// Rows, and the experts that they are sent to.
struct Input {
  Input(const Shape& shape, DType act, int64_t rows, uint32_t seed)
      : x(act, rows, shape.hidden, shape.hidden + 8), weights(DType::kFloat32, rows, shape.top_k) {
    std::mt19937 random(seed);
    x.FillNormal(seed);
    weights.FillNormal(seed + 1);
    std::vector<int32_t> all(shape.num_experts);
    std::iota(all.begin(), all.end(), 0);
    for (int64_t r = 0; r < rows; ++r) {
      std::shuffle(all.begin(), all.end(), random);
      // One expert is everyone's, so that loads differ.
      std::iter_swap(all.begin() + random() % shape.top_k, std::find(all.begin(), all.end(), 2));
      ids.insert(ids.end(), all.begin(), all.begin() + shape.top_k);
    }
  }
  DeviceArray<const int32_t> Ids(int64_t row, int64_t rows) const {
    const int64_t k = weights.view().cols;
    return {ids.data() + row * k, rows * k};
  }

  HostMatrix x;
  HostMatrix weights;
  std::vector<int32_t> ids;
};

HostMatrix Apply(Ops& ops, const Experts& experts, const Input& input, int64_t row, int64_t rows) {
  HostMatrix out(DType::kFloat32, rows, input.x.view().cols, input.x.view().cols + 3);
  ops.ApplyExperts(experts, input.x.view().Rows(row, rows), input.Ids(row, rows),
                   input.weights.view().Rows(row, rows), out.view());
  return out;
}

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
  Shape odd{.num_experts = 5, .top_k = 5, .hidden = 33, .ffn = 7};
  Shape clamped{.activation = {Activation::kClampedSwiglu, 1.5F, 1.7F}};
  Shape gelu{.bias = false, .activation = {Activation::kGeluTanh}};
  for (const Shape& shape : {Shape{}, odd, clamped, gelu}) {
    for (DType act : kActs) {
      const auto experts = Make(*ops, shape, act);
      const auto expected = Make(*reference, shape, act);
      for (int64_t rows : {1, 2, 40, 150}) {
        const Input input(shape, act, rows, 9);
        const HostMatrix got = Apply(*ops, *experts, input, 0, rows);
        const HostMatrix want = Apply(*reference, *expected, input, 0, rows);
        // Numbers are of the size 1; those of the two intermediate results that are rounded to
        // bf16 may be rounded apart, and add up at random.
        const double unit = act == DType::kBFloat16 ? 0x1p-8 : 0x1p-21;
        EXPECT_TRUE(testing::Near(got, want, [&](int64_t, int64_t) {
          return 8 * unit * std::sqrt(static_cast<double>(shape.top_k));
        })) << rows;
      }
    }
  }
}

// The law that a result is summed by hand from Apply's own bits.
TEST_P(CpuExpertsTest, ARowIsTheOrderedSumOfItsExperts) {
  const auto ops = MakeOps(pool_);
  const Shape shape;
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
    const Input input(shape, act, 30, 4);
    const HostMatrix got = Apply(*ops, *experts, input, 0, 30);
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
  const Shape shape;
  for (DType act : kActs) {
    const auto experts = Make(*ops, shape, act);
    const Input input(shape, act, 150, 3);
    const HostMatrix all = Apply(*ops, *experts, input, 0, 150);
    for (int64_t rows : {1, 2, 5, 33, 100}) {
      const int64_t first = 150 - rows;
      const HostMatrix some = Apply(*ops, *experts, input, first, rows);
      for (int64_t r = 0; r < rows; ++r) ASSERT_TRUE(some.SameRowBits(r, all, first + r)) << rows;
    }
  }
}

TEST_P(CpuExpertsTest, BitsDoNotDependOnTheThreads) {
  const Shape shape;
  for (DType act : kActs) {
    const Input input(shape, act, 60, 3);
    std::vector<HostMatrix> results;
    for (int threads : {1, 2, 5}) {
      ThreadPool pool(threads);
      const auto ops = MakeOps(pool);
      results.push_back(Apply(*ops, *Make(*ops, shape, act), input, 0, 60));
      EXPECT_TRUE(results.back().SameBits(results.front())) << threads;
    }
  }
}

// The scratch that they share fits the greatest.
TEST_P(CpuExpertsTest, LayersOfOtherSizesMayTakeTurns) {
  const auto ops = MakeOps(pool_);
  const Shape wide{.num_experts = 3, .top_k = 2, .hidden = 40, .ffn = 200};
  const Shape many{.num_experts = 12, .top_k = 6, .hidden = 100, .ffn = 20};
  const auto first = Make(*ops, wide, DType::kBFloat16);
  const Input wide_input(wide, DType::kBFloat16, 150, 3);
  const HostMatrix before = Apply(*ops, *first, wide_input, 0, 150);
  const auto second = Make(*ops, many, DType::kFloat32);
  const Input many_input(many, DType::kFloat32, 150, 3);
  const HostMatrix other = Apply(*ops, *second, many_input, 0, 150);
  EXPECT_TRUE(Apply(*ops, *first, wide_input, 0, 150).SameBits(before));
  EXPECT_TRUE(Apply(*ops, *second, many_input, 0, 150).SameBits(other));
}

TEST_P(CpuExpertsTest, ARowOfNanStaysAlone) {
  const auto ops = MakeOps(pool_);
  const Shape shape;
  const auto experts = Make(*ops, shape, DType::kBFloat16);
  Input input(shape, DType::kBFloat16, 30, 3);
  for (int64_t i = 0; i < shape.hidden; ++i) input.x.set(7, i, NAN);
  const HostMatrix out = Apply(*ops, *experts, input, 0, 30);
  for (int64_t r = 0; r < 30; ++r) EXPECT_EQ(std::isnan(out.at(r, 0)), r == 7) << r;
}

TEST_P(CpuExpertsTest, BytesAreThoseOfTheLinears) {
  const auto ops = MakeOps(pool_);
  const auto experts =
      Make(*ops, {.num_experts = 2, .top_k = 1, .hidden = 64, .ffn = 32}, kActs[0]);
  EXPECT_EQ(experts->bytes(), 2 * ((64 * 64 * 2 + 64 * 4) + (64 * 32 * 2 + 64 * 4)));
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuExpertsTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
