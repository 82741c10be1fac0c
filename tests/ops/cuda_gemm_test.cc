// The CUDA products, emulated, against the reference.
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/cuda/emulation/launcher.h"
#include "gtest/gtest.h"
#include "ops/cuda/gemm.cuh"
#include "ops/reference/reference_ops.h"
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

class CudaGemmTest : public ::testing::Test {
 protected:
  // Runs the kernel on rows [first, first + y.rows) of x; y is written whole, nothing else is.
  static void Run(const HostMatrix& x, int64_t first, const GemmWeight& weight, const HostMatrix& y,
                  uint32_t seed = 0, size_t max_shared_bytes = kMaxSharedBytes) {
    RunBy([](auto& launcher, const GemmArgs& args) { cuda_emulated::LaunchGemm(launcher, args); },
          x, first, weight, y, seed, max_shared_bytes);
  }
  // By one shape of block, whether the rule would choose it or not.
  template <typename T, typename Shape>
  static void RunShape(const HostMatrix& x, const GemmWeight& weight, const HostMatrix& y) {
    RunBy([](auto& launcher,
             const GemmArgs& args) { cuda_emulated::LaunchGemmOf<T, Shape>(launcher, args); },
          x, 0, weight, y, 0);
  }
  template <typename Launch>
  static void RunBy(Launch launch, const HostMatrix& x, int64_t first, const GemmWeight& weight,
                    const HostMatrix& y, uint32_t seed, size_t max_shared_bytes = kMaxSharedBytes) {
    const GemmArgs args{.x = x.view().Rows(first, y.view().rows),
                        .weight = weight.matrix(),
                        .bias = weight.bias(),
                        .y = y.view()};
    const EmulatedMatrix x_memory("x", args.x, EmulatedMatrix::kInput);
    const EmulatedMatrix y_memory("y", args.y, EmulatedMatrix::kOutput);
    emulation::EmulationOptions options = GemmEmulation(seed);
    options.max_shared_bytes = max_shared_bytes;
    EmulatedLauncher launcher(options);
    launch(launcher, args);
    ASSERT_TRUE(launcher.status().ok()) << launcher.status();
    EXPECT_TRUE(y_memory.IsWritten());
  }

  void ExpectMatches(DType act, DType out, int64_t m, int64_t n, int64_t k, int64_t gap,
                     bool bias) {
    const GemmWeight weight(act, n, k, bias, gap);
    HostMatrix x(act, m, k, k + gap);
    x.FillNormal(5);
    const HostMatrix y(out, m, n, n + gap);
    Run(x, 0, weight, y);
    EXPECT_TRUE(weight.IsProduct(*reference_, x, y)) << "M " << m << " N " << n << " K " << k;
  }

  ThreadPool pool_{1};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> reference_ = MakeReferenceOps(memory_);
};

TEST_F(CudaGemmTest, MatchesTheReferenceAtAnyShape) {
  for (DType act : kActs) {
    for (int64_t k : {1, 7, 8, 31, 64, 65, 130, 256, 257}) {
      for (int64_t n : {1, 15, 16, 17, 38}) {
        ExpectMatches(act, act, 3, n, k, (8 - k % 8) % 8, n % 2 == 0);
        ExpectMatches(act, DType::kFloat32, 3, n, k, 3, n % 2 == 1);
      }
    }
  }
}

TEST_F(CudaGemmTest, MatchesTheReferenceOverSeveralSlicesOfK) {
  for (DType act : kActs) {
    for (int64_t k : {512, 1000, 2504}) {
      for (int64_t m : {1, 11}) ExpectMatches(act, act, m, 18, k, 0, true);
    }
  }
}

TEST_F(CudaGemmTest, MatchesTheReferenceAtAnyNumberOfRows) {
  for (DType act : kActs) {
    for (int64_t m = 1; m <= 18; ++m) ExpectMatches(act, act, m, 40, 96, 0, true);
    for (int64_t m : {31, 32, 33, 64, 100, 129}) ExpectMatches(act, act, m, 40, 96, 0, true);
  }
}

// The law, at the numbers of rows at which blocks of 8, 16 and 32 tokens end.
TEST_F(CudaGemmTest, ARowHasTheSameBitsAtEveryMAndAlignment) {
  constexpr int64_t kRows = 100, kN = 17, kK = 522;
  for (DType act : kActs) {
    const GemmWeight weight(act, kN, kK, true, 6);
    const GemmWeight unaligned(act, kN, kK, true, 1);
    HostMatrix x(act, kRows, kK, kK + 6), shifted(act, kRows, kK, kK + 3);
    x.FillNormal(9);
    shifted.FillNormal(9);
    const HostMatrix all(DType::kFloat32, kRows, kN);  // a bf16 would hide differences
    Run(x, 0, weight, all);
    for (int64_t m : {1, 2, 7, 8, 9, 16, 17, 33, 64, 65}) {
      const int64_t first = kRows - m;  // so that a row's place changes too
      const HostMatrix y(DType::kFloat32, m, kN), other(DType::kFloat32, m, kN, kN + 1);
      Run(x, first, weight, y, /*seed=*/static_cast<uint32_t>(m));
      if (m <= 9) Run(shifted, first, unaligned, other);
      for (int64_t row = 0; row < m; ++row) {
        ASSERT_TRUE(y.SameRowBits(row, all, first + row)) << "M " << m << " row " << row;
        if (m > 9) continue;
        ASSERT_TRUE(other.SameRowBits(row, all, first + row)) << "M " << m << " row " << row;
      }
    }
  }
}

template <typename T>
class CudaGemmShapeTest : public CudaGemmTest {};
using Acts = ::testing::Types<bf16, float>;
TYPED_TEST_SUITE(CudaGemmShapeTest, Acts);

// More rows and features than the largest block has.
TYPED_TEST(CudaGemmShapeTest, EveryShapeOfBlockGivesTheSameBits) {
  constexpr DType kAct = kDTypeOf<TypeParam>;
  constexpr int64_t kRows = 131, kN = 134, kK = 72;
  const GemmWeight weight(kAct, kN, kK, true);
  HostMatrix x(kAct, kRows, kK);
  x.FillNormal(3);
  const HostMatrix y(DType::kFloat32, kRows, kN);
  this->Run(x, 0, weight, y);
  EXPECT_TRUE(weight.IsProduct(*this->reference_, x, y));
  ForEachGemmShape<TypeParam>([&](auto shape) {
    const HostMatrix same(DType::kFloat32, kRows, kN);
    this->template RunShape<TypeParam, decltype(shape)>(x, weight, same);
    EXPECT_TRUE(same.SameBits(y)) << shape.kRows << " x " << shape.kTokens;
  });
}

// Five slices, the last one short, in blocks that split them and in blocks that do not.
TYPED_TEST(CudaGemmShapeTest, EveryShapeOfBlockAddsUpTheSameSlices) {
  constexpr DType kAct = kDTypeOf<TypeParam>;
  constexpr int64_t kRows = 3, kN = 17, kK = 1034;
  static_assert(cuda_emulated::GemmSlices(kK) == 5);
  const GemmWeight weight(kAct, kN, kK, false);
  HostMatrix x(kAct, kRows, kK);
  x.FillNormal(4);
  const HostMatrix y(DType::kFloat32, kRows, kN);
  this->Run(x, 0, weight, y);
  ForEachGemmShape<TypeParam>([&](auto shape) {
    const HostMatrix same(DType::kFloat32, kRows, kN);
    this->template RunShape<TypeParam, decltype(shape)>(x, weight, same);
    EXPECT_TRUE(same.SameBits(y)) << shape.kRows << " x " << shape.kTokens;
  });
}

// 8 slices of K: shapes of few tokens take up to 192 KiB.
TEST_F(CudaGemmTest, SharedMemoryOfTheDeviceChangesNoBit) {
  for (DType act : kActs) {
    const GemmWeight weight(act, 16, 2048, true);
    for (int64_t m : {12, 24}) {
      HostMatrix x(act, m, 2048);
      x.FillNormal(5);
      const HostMatrix want(act, m, 16);
      Run(x, 0, weight, want);
      for (size_t room : {size_t{163} << 10, kLeastSharedBytes}) {
        const HostMatrix y(act, m, 16);
        Run(x, 0, weight, y, 0, room);
        EXPECT_TRUE(y.SameBits(want)) << m << " rows, " << room << " bytes";
      }
    }
  }
}

TEST_F(CudaGemmTest, ARowOfNanStaysAlone) {
  for (DType act : kActs) {
    const GemmWeight weight(act, 17, 70, true);
    HostMatrix x(act, 9, 70);
    x.FillNormal(1);
    const HostMatrix before(act, 9, 17), after(act, 9, 17);
    Run(x, 0, weight, before);
    for (int64_t i = 0; i < 70; ++i) x.set(4, i, NAN);
    Run(x, 0, weight, after);
    for (int64_t row = 0; row < 9; ++row) {
      EXPECT_EQ(after.SameRowBits(row, before, row), row != 4);
      EXPECT_EQ(std::isnan(after.at(row, 0)), row == 4);
    }
  }
}

TEST_F(CudaGemmTest, NoRowsAreNoWork) {
  const GemmWeight weight(DType::kBFloat16, 16, 64, false);
  const HostMatrix x(DType::kBFloat16, 0, 64), y(DType::kBFloat16, 0, 16);
  EmulatedLauncher launcher;
  cuda_emulated::LaunchGemm(launcher, {.x = x.view(), .weight = weight.matrix(), .y = y.view()});
  EXPECT_TRUE(launcher.status().ok()) << launcher.status();
}

TEST(CudaGemmShapes, SlicesCoverKAndAreWholeTiles) {
  for (int k = 1; k < 70000; k += k < 3000 ? 1 : 61) {
    const int length = cuda_emulated::GemmSliceLength(k), slices = cuda_emulated::GemmSlices(k);
    EXPECT_EQ(length % 64, 0);
    EXPECT_LE(slices, cuda_emulated::kMaxGemmSlices);
    EXPECT_LT((slices - 1) * length, k);
    EXPECT_GE(slices * length, k);
  }
}

TEST(CudaGemmShapes, AreChosenByRowsAndFitIntoSharedMemory) {
  struct Case {
    int64_t m, n;
    size_t shared_bytes;
    int rows, tokens;
  };
  const size_t all = kMaxSharedBytes, some = 163 << 10, little = 99 << 10;
  for (const Case& c : std::vector<Case>{{1, 4096, all, 16, 8},
                                         {8, 4096, little, 16, 8},
                                         {9, 4096, all, 32, 16},
                                         {9, 4096, little, 16, 8},
                                         {32, 4096, all, 32, 32},
                                         {32, 4096, some, 32, 16},
                                         {64, 4096, little, 32, 64},
                                         {64, 28672, little, 64, 64},
                                         {512, 4096, all, 128, 128},
                                         {512, 4096, little, 64, 64},
                                         {512, 128, all, 32, 32}}) {
    cuda_emulated::VisitGemmShape<true>(1, c.m, c.n, 4096, c.shared_bytes, [&](auto shape) {
      EXPECT_EQ(shape.kRows, c.rows) << c.m << " " << c.n;
      EXPECT_EQ(shape.kTokens, c.tokens) << c.m << " " << c.n;
      EXPECT_LE(shape.SharedBytes(4096), c.shared_bytes);
    });
  }
}

}  // namespace
}  // namespace quire
