// The CUDA backend of ops.h against the reference, and the law of rows, on the device itself:
// kernels as the backend chooses them, products of prompts by its library. At small sizes in the
// emulation.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <vector>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cuda/cuda_ops.h"
#include "ops/reference/reference_ops.h"
#include "tests/ops/experts_harness.h"
#include "tests/ops/norm_harness.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"
#include "tests/testing/on_device.h"
#include "tests/testing/test_device.h"

namespace quire::testing {
namespace {

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};
constexpr int64_t kMostRows = 300;

class CudaOpsBackend : public ::testing::Test {
 protected:
  void SetUp() override {
    QUIRE_SKIP_WITHOUT_TEST_DEVICE();
    device_ = OpenTestDevice(kMostRows).value();
    real_ = MakeCudaOps(*device_.queue, *device_.memory, pool_,
                        {.max_rows = kMostRows,
                         .max_width = 4096,
                         .isa = ChooseCpuIsa("auto").value(),
                         .prompt_gemm = device_.prompt_gemm.get()})
                .value();
    ops_ = MakeOpsOnDevice(*real_, *device_.memory, *device_.queue);
  }

  // What the emulation takes too long for is left out there.
  template <typename T>
  static std::vector<T> Sizes(std::vector<T> few, const std::vector<T>& more) {
    if (!TestDeviceIsEmulated()) few.insert(few.end(), more.begin(), more.end());
    return few;
  }

  // x [rows, K] times the linear, of which the first num_generated rows are generated ones.
  HostMatrix Multiply(Ops& ops, const Linear& linear, const DeviceMatrix& x, DType y_dtype,
                      int64_t num_generated) {
    HostMatrix y(y_dtype, x.rows, linear.out_features(), linear.out_features() + 8);
    ops.Prepare(linear, y_dtype);
    ops.Apply(linear, x, y.view(), num_generated);
    return y;
  }

  ThreadPool pool_{2};
  HostMemory host_{pool_};
  std::unique_ptr<Ops> reference_ = MakeReferenceOps(host_);
  CudaDevice device_;
  std::unique_ptr<Ops> real_;
  std::unique_ptr<Ops> ops_;
};

TEST_F(CudaOpsBackend, ProductsMatchTheReference) {
  struct Shape {
    int64_t n, k;
  };
  for (const Shape& shape : Sizes<Shape>({{80, 96}}, {{520, 1032}, {1536, 4096}, {63, 40}})) {
    for (DType act : kActs) {
      for (bool bias : {false, true}) {
        const LinearSource source(shape.k, act, {{shape.n, act, bias}});
        const auto linear = ops_->MakeLinear(source.spec()).value();
        const auto expected = reference_->MakeLinear(source.spec()).value();
        for (int64_t rows : Sizes<int64_t>({1, 13}, {8, 17, 32, 64, 129, 256, kMostRows})) {
          HostMatrix x(act, rows, shape.k, (shape.k + 15) / 8 * 8);
          x.FillNormal(5);
          for (DType y : {act, DType::kFloat32}) {
            HostMatrix want(y, rows, shape.n);
            reference_->Apply(*expected, x.view(), want.view());
            for (int64_t generated : {int64_t{0}, rows / 2, rows}) {
              EXPECT_TRUE(
                  NearProduct(source, x, Multiply(*ops_, *linear, x.view(), y, generated), want))
                  << DTypeName(act) << " to " << DTypeName(y) << " N " << shape.n << " K "
                  << shape.k << " M " << rows << " generated " << generated;
            }
          }
        }
      }
    }
  }
}

// The law, of each kind of rows: whoever is beside it, whatever the number of rows.
TEST_F(CudaOpsBackend, ARowsProductIsItsOwnToTheBit) {
  struct Shape {
    int64_t n, k;
  };
  for (const Shape& shape : Sizes<Shape>({{80, 96}}, {{1024, 2048}, {4096, 1032}})) {
    for (DType act : kActs) {
      const LinearSource source(shape.k, act, {{shape.n, act, true}});
      const auto linear = ops_->MakeLinear(source.spec()).value();
      const int64_t rows = TestDeviceIsEmulated() ? 20 : kMostRows;
      HostMatrix x(act, rows, shape.k, (shape.k + 15) / 8 * 8);
      x.FillNormal(5);
      for (bool generated : {false, true}) {
        const HostMatrix all =
            Multiply(*ops_, *linear, x.view(), act, generated ? rows : int64_t{0});
        for (int64_t count : Sizes<int64_t>({1, 13}, {2, 7, 16, 31, 64, 100, 129, 256})) {
          for (int64_t first : {int64_t{0}, rows / 3, rows - count}) {
            if (first + count > rows) continue;
            const HostMatrix some = Multiply(*ops_, *linear, x.view().Rows(first, count), act,
                                             generated ? count : int64_t{0});
            for (int64_t r = 0; r < count; ++r) {
              ASSERT_TRUE(some.SameRowBits(r, all, first + r))
                  << DTypeName(act) << (generated ? " generated" : " prompt") << " row "
                  << first + r << " among " << count << ", N " << shape.n;
            }
          }
        }
      }
    }
  }
}

TEST_F(CudaOpsBackend, NormsMatchTheReference) {
  for (NormKind kind : kNormKinds) {
    for (DType in : kActs) {
      for (DType act : kActs) {
        for (int64_t width : Sizes<int64_t>({100}, {1, 64, 1000, 2048, 4096, 5120})) {
          const bool biased = kind == NormKind::kLayer;
          const Norm norm = RandomNorm(*ops_, kind, width, true, biased);
          const Norm expected = RandomNorm(*reference_, kind, width, true, biased);
          const int64_t rows = TestDeviceIsEmulated() ? 3 : 67;
          HostMatrix x(in, rows, width, width + 3);
          x.FillNormal(1, 10.0F);
          HostMatrix out(act, rows, width, width + 1), want(act, rows, width, width + 1);
          ops_->Normalise(x.view(), norm, out.view());
          reference_->Normalise(x.view(), expected, want.view());
          EXPECT_TRUE(NearNorm(out, want, biased ? 3.0 : 0.0)) << static_cast<int>(kind);
          if (in != DType::kFloat32) continue;
          HostMatrix delta(act, rows, width, width + 5);
          delta.FillNormal(2);
          HostMatrix residual(x), want_residual(x);
          ops_->AddNormalise({residual.view(), delta.view(), 0.5F, norm, out.view()});
          reference_->AddNormalise(
              {want_residual.view(), delta.view(), 0.5F, expected, want.view()});
          EXPECT_TRUE(Near(residual, want_residual, [&](int64_t r, int64_t c) {
            return 0x1p-23 * std::fabs(want_residual.at(r, c));
          }));
          EXPECT_TRUE(NearNorm(out, want, biased ? 3.0 : 0.1)) << static_cast<int>(kind);
        }
      }
    }
  }
}

TEST_F(CudaOpsBackend, ActivationsMatchTheReference) {
  for (Activation kind :
       {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluExact, Activation::kRelu}) {
    for (DType act : kActs) {
      for (int64_t width : Sizes<int64_t>({33}, {64, 1408, 12288})) {
        const int64_t rows = TestDeviceIsEmulated() ? 4 : 40;
        HostMatrix x(act, rows, 2 * width, 2 * width + 3);
        x.FillNormal(1, 3.0F);
        HostMatrix out(act, rows, width), want(act, rows, width);
        // As the CPU's tests: errors of the exponential's argument grow with its square; and the
        // other factor.
        const auto bound = [&](int64_t r, int64_t c) {
          const double gate = x.at(r, c);
          const double units = 16 + 6 * std::min(gate * gate, 150.0);
          return units * 0x1p-24 * std::fabs(want.at(r, c)) +
                 2 * RoundingError(act, want.at(r, c)) + 1e-30;
        };
        ops_->GatedActivation({kind}, x.view(), out.view());
        reference_->GatedActivation({kind}, x.view(), want.view());
        EXPECT_TRUE(Near(out, want, bound)) << static_cast<int>(kind) << " width " << width;
        ops_->Activate({kind}, x.view().Columns(0, width), out.view());
        reference_->Activate({kind}, x.view().Columns(0, width), want.view());
        EXPECT_TRUE(Near(out, want, bound)) << static_cast<int>(kind) << " width " << width;
      }
    }
  }
}

TEST_F(CudaOpsBackend, ExpertsAreChosenAsTheReferenceChooses) {
  const RouterRules plain{.num_experts = 128, .top_k = 8, .normalise = true};
  const RouterRules grouped{.num_experts = 256,
                            .top_k = 8,
                            .scoring = Scoring::kSigmoid,
                            .normalise = true,
                            .scale = 2.5F,
                            .num_groups = 8,
                            .top_groups = 4,
                            .group_score = GroupScore::kTopTwoSum};
  for (const RouterRules& rules : {plain, grouped}) {
    const RouterParams params{rules, {}};
    const int64_t rows = TestDeviceIsEmulated() ? 5 : kMostRows;
    HostMatrix logits(DType::kFloat32, rows, rules.num_experts);
    logits.FillNormal(3, 2.0F);
    HostMatrix weights(DType::kFloat32, rows, rules.top_k), want(weights);
    std::vector<int32_t> ids(rows * rules.top_k), want_ids(ids.size());
    const auto size = static_cast<int64_t>(ids.size());
    ops_->Route(params, logits.view(), {ids.data(), size}, weights.view());
    reference_->Route(params, logits.view(), {want_ids.data(), size}, want.view());
    EXPECT_EQ(ids, want_ids);
    EXPECT_TRUE(Near(weights, want, [&](int64_t r, int64_t c) {
      return 64 * 0x1p-24 * std::fabs(want.at(r, c));
    }));
  }
}

TEST_F(CudaOpsBackend, ExpertsMatchTheReferenceAndARowIsItsOwn) {
  const ExpertsShape small{.num_experts = 5, .top_k = 2, .hidden = 40, .ffn = 24};
  const ExpertsShape large{.num_experts = 64, .top_k = 6, .hidden = 512, .ffn = 704};
  for (const ExpertsShape& shape : Sizes<ExpertsShape>({small}, {large, ExpertsShape{}})) {
    for (DType act : kActs) {
      const auto experts = MakeRandomExperts(*ops_, shape, act);
      const auto expected = MakeRandomExperts(*reference_, shape, act);
      for (int64_t rows : Sizes<int64_t>({3}, {1, 40, kMostRows})) {
        const ExpertsInput input(shape, act, rows, 9);
        const HostMatrix got = ApplyExperts(*ops_, *experts, input, 0, rows);
        const HostMatrix want = ApplyExperts(*reference_, *expected, input, 0, rows);
        EXPECT_TRUE(NearExperts(got, want, act, shape.top_k)) << rows;
        const int64_t first = rows / 3;
        const int64_t count = std::max<int64_t>(1, rows / 2);
        const HostMatrix some = ApplyExperts(*ops_, *experts, input, first, count);
        for (int64_t r = 0; r < count; ++r) ASSERT_TRUE(some.SameRowBits(r, got, first + r));
      }
    }
  }
}

TEST_F(CudaOpsBackend, RowsAreEmbeddedGatheredAddedAndSummed) {
  for (DType act : kActs) {
    for (int64_t width : Sizes<int64_t>({40}, {1, 1000, 4096})) {
      const LinearSource source(width, act, {{50, act, false}});
      const auto table = ops_->MakeEmbedding(source.spec().parts[0], width, act).value();
      const auto expected = reference_->MakeEmbedding(source.spec().parts[0], width, act).value();
      const std::vector<int32_t> ids = {49, 0, 7, 7};
      HostMatrix out(DType::kFloat32, 4, width, width + 2), want(out);
      ops_->Embed(*table, {ids.data(), 4}, {.scale = 3.0F}, out.view());
      reference_->Embed(*expected, {ids.data(), 4}, {.scale = 3.0F}, want.view());
      EXPECT_TRUE(out.SameBits(want));

      HostMatrix x(act, 9, width, width + 8);
      x.FillNormal(3);
      const std::vector<int32_t> rows = {8, 0, 3, 3};
      HostMatrix gathered(act, 4, width);
      ops_->GatherRows(x.view(), {rows.data(), 4}, gathered.view());
      for (int64_t r = 0; r < 4; ++r) EXPECT_TRUE(gathered.SameRowBits(r, x, rows[r]));

      ops_->AddTo(gathered.view(), 0.5F, out.view());
      reference_->AddTo(gathered.view(), 0.5F, want.view());
      EXPECT_TRUE(Near(out, want,
                       [&](int64_t r, int64_t c) { return 0x1p-23 * std::fabs(want.at(r, c)); }));

      std::vector<float> sum(width, 1.0F), want_sum(sum);
      ops_->SumRows(x.view(), absl::MakeSpan(sum));
      reference_->SumRows(x.view(), absl::MakeSpan(want_sum));
      EXPECT_EQ(sum, want_sum);
    }
  }
}

}  // namespace
}  // namespace quire::testing
