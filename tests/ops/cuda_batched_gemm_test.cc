// Several CUDA products in one launch, emulated, against the plain ones.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/cuda/emulation/launcher.h"
#include "gtest/gtest.h"
#include "ops/cuda/batched_gemm.cuh"
#include "ops/cuda/gemm.cuh"
#include "tests/ops/gemm_harness.h"
#include "tests/testing/emulated_matrix.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::testing::EmulatedMatrix;
using ::quire::testing::ForEachGemmShape;
using ::quire::testing::GemmEmulation;
using ::quire::testing::GemmWeight;
using ::quire::testing::HostMatrix;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};

// Counts what it passes on.
struct CountingLauncher {
  template <typename... Params>
  void Launch(const LaunchShape& shape, void (*kernel)(Params...), const Params&... params) {
    ++launches;
    launcher.Launch(shape, kernel, params...);
  }
  size_t max_shared_bytes() const { return launcher.max_shared_bytes(); }
  EmulatedLauncher launcher;
  int launches = 0;
};

// Products of columns of one x into columns of one y, a weight each, as latent attention has them
// for its heads.
class Heads {
 public:
  Heads(DType act, DType out, int64_t rows, int64_t n, int64_t k, int count)
      : n_(n), k_(k), x_(act, rows, count * k), want_(out, rows, count * n), got_(want_) {
    x_.FillNormal(11);
    for (int head = 0; head < count; ++head) {
      weights_.push_back(std::make_unique<GemmWeight>(act, n, k, head % 2 == 0, 0, head + 1));
    }
  }

  std::vector<GemmArgs> Products(const HostMatrix& y) const {
    std::vector<GemmArgs> products;
    for (size_t head = 0; head < weights_.size(); ++head) {
      const auto at = static_cast<int64_t>(head);
      products.push_back({.x = x_.view().Columns(at * k_, k_),
                          .weight = weights_[head]->matrix(),
                          .bias = weights_[head]->bias(),
                          .y = y.view().Columns(at * n_, n_)});
    }
    return products;
  }

  // launch(launcher, products) has the bits of the plain products.
  template <typename Launch>
  ::testing::AssertionResult AreThePlainOnes(Launch launch, uint32_t seed = 1) {
    const EmulatedMatrix x_memory("x", x_.view(), EmulatedMatrix::kInput);
    const EmulatedMatrix want_memory("want", want_.view(), EmulatedMatrix::kOutput);
    const EmulatedMatrix got_memory("got", got_.view(), EmulatedMatrix::kOutput);
    EmulatedLauncher plain;
    for (const GemmArgs& product : Products(want_)) cuda_emulated::LaunchGemm(plain, product);
    if (!plain.status().ok()) return ::testing::AssertionFailure() << plain.status();
    CountingLauncher counting{.launcher = EmulatedLauncher(GemmEmulation(seed))};
    launch(counting, Products(got_));
    launches_ = counting.launches;
    const absl::Status& status = counting.launcher.status();
    if (!status.ok()) return ::testing::AssertionFailure() << status;
    if (!got_.SameBits(want_)) return ::testing::AssertionFailure() << "other bits";
    return ::testing::AssertionSuccess();
  }
  int launches() const { return launches_; }

 private:
  int64_t n_, k_;
  HostMatrix x_, want_, got_;
  std::vector<std::unique_ptr<GemmWeight>> weights_;
  int launches_ = 0;
};

const auto kBatched = [](auto& launcher, const std::vector<GemmArgs>& products) {
  cuda_emulated::LaunchBatchedGemm(launcher, products);
};

TEST(CudaBatchedGemmTest, ProductsOfOneShapeShareALaunch) {
  for (DType act : kActs) {
    for (DType out : {act, DType::kFloat32}) {
      for (int64_t rows : {1, 17}) {
        Heads heads(act, out, rows, 24, 264, 3);
        EXPECT_TRUE(heads.AreThePlainOnes(kBatched));
        EXPECT_EQ(heads.launches(), 1);
      }
    }
  }
}

TEST(CudaBatchedGemmTest, ALaunchHoldsSoManyAndTheNextOneTheRest) {
  Heads heads(DType::kBFloat16, DType::kBFloat16, 2, 8, 16,
              2 * cuda_emulated::kMaxBatchedGemms + 1);
  EXPECT_TRUE(heads.AreThePlainOnes(kBatched));
  EXPECT_EQ(heads.launches(), 3);
}

// Columns that begin at odd places: some heads are aligned and some are not.
TEST(CudaBatchedGemmTest, UnalignedProductsAreTheSame) {
  for (DType act : kActs) {
    Heads heads(act, act, 1, 7, 33, 9);
    EXPECT_TRUE(heads.AreThePlainOnes(kBatched));
    EXPECT_GT(heads.launches(), 1);
  }
}

TEST(CudaBatchedGemmTest, ProductsThatDifferGetLaunchesOfTheirOwn) {
  const GemmWeight small(DType::kBFloat16, 8, 16, false), large(DType::kBFloat16, 24, 16, true);
  HostMatrix x(DType::kBFloat16, 3, 16);
  x.FillNormal(1);
  const EmulatedMatrix x_memory("x", x.view(), EmulatedMatrix::kInput);
  const HostMatrix y(DType::kBFloat16, 3, 40), want(DType::kBFloat16, 3, 40);
  const EmulatedMatrix y_memory("y", y.view(), EmulatedMatrix::kOutput);
  const EmulatedMatrix want_memory("want", want.view(), EmulatedMatrix::kOutput);
  const auto products = [&](const HostMatrix& out) -> std::vector<GemmArgs> {
    return {{.x = x.view(), .weight = small.matrix(), .y = out.view().Columns(0, 8)},
            {.x = x.view(),
             .weight = large.matrix(),
             .bias = large.bias(),
             .y = out.view().Columns(8, 24)},
            {.x = x.view(), .weight = small.matrix(), .y = out.view().Columns(32, 8)}};
  };
  CountingLauncher counting;
  cuda_emulated::LaunchBatchedGemm(counting, products(y));
  for (const GemmArgs& args : products(want)) cuda_emulated::LaunchGemm(counting.launcher, args);
  ASSERT_TRUE(counting.launcher.status().ok()) << counting.launcher.status();
  EXPECT_EQ(counting.launches, 3);
  EXPECT_TRUE(y.SameBits(want));
}

template <typename T>
class CudaBatchedGemmShapeTest : public ::testing::Test {};
using Acts = ::testing::Types<bf16, float>;
TYPED_TEST_SUITE(CudaBatchedGemmShapeTest, Acts);

TYPED_TEST(CudaBatchedGemmShapeTest, EveryShapeOfBlockGivesTheSameBits) {
  ForEachGemmShape<TypeParam>([](auto shape) {
    constexpr DType kAct = kDTypeOf<TypeParam>;
    Heads heads(kAct, DType::kFloat32, 67, 24, 72, 2);
    EXPECT_TRUE(heads.AreThePlainOnes([&](auto& launcher, const std::vector<GemmArgs>& products) {
      cuda_emulated::LaunchBatchedGemmOf<TypeParam, decltype(shape)>(launcher, products);
    })) << shape.kRows
        << " x " << shape.kTokens;
  });
}

TEST(CudaBatchedGemmTest, NoProductsAreNoWork) {
  CountingLauncher counting;
  cuda_emulated::LaunchBatchedGemm(counting, {});
  EXPECT_EQ(counting.launches, 0);
}

}  // namespace
}  // namespace quire
