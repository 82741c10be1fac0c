// Each primitive, as the emulation has it, against its definition.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/launcher.h"
#include "core/cuda/primitives/async_copy.cuh"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/block_reduce.cuh"
#include "core/cuda/primitives/block_scan.cuh"
#include "core/cuda/primitives/chunks.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/matrix.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/warp.cuh"
#include "gtest/gtest.h"
#include "tests/core/cuda/all_primitives_emulated.h"

namespace quire::QUIRE_CUDA_TARGET {
namespace {

using ::quire::emulation::RunGrid;

// `kernel` once per thread of a block.
template <typename Kernel>
void RunBlock(int threads, size_t shared_bytes, Kernel kernel) {
  for (uint32_t seed = 0; seed < 3; ++seed) {
    const absl::Status status = RunGrid(
        {.name = "test", .threads = threads, .shared_bytes = shared_bytes}, {.seed = seed}, kernel);
    ASSERT_TRUE(status.ok()) << status;
  }
}

TEST(CudaPrimitives, ThreadsKnowWhereTheyAre) {
  std::vector<int> seen(2 * 3 * 4 * 64, 0);
  ASSERT_TRUE(RunGrid({.name = "test", .grid = {2, 3, 4}, .threads = 64}, {}, [&] {
                EXPECT_EQ(GridX(), 2);
                EXPECT_EQ(GridY(), 3);
                EXPECT_EQ(GridZ(), 4);
                EXPECT_EQ(BlockThreads(), 64);
                EXPECT_EQ(BlockWarps(), 2);
                EXPECT_EQ(WarpIndex() * 32 + LaneIndex(), ThreadIndex());
                ++seen[((BlockZ() * 3 + BlockY()) * 2 + BlockX()) * 64 + ThreadIndex()];
              }).ok());
  for (int count : seen) EXPECT_EQ(count, 1);
}

template <typename T>
void ExpectChunksMoveAnywhere() {
  std::vector<T> values(3 * kChunk);
  for (size_t i = 0; i < values.size(); ++i) values[i] = FromFloat<T>(static_cast<float>(i));
  const emulation::GlobalBuffer<T> source("source", values);
  for (int begin = 0; begin < 2 * kChunk; ++begin) {
    for (int count = 0; count <= kChunk; ++count) {
      emulation::GlobalBuffer<T> target("target", 3 * kChunk);
      RunBlock(32, 0, [&] {
        if (LaneIndex() != 0) return;
        float chunk[kChunk];
        LoadAnyChunk(Global<const T>(source.data()), begin, count, chunk);
        for (int i = 0; i < kChunk; ++i) {
          EXPECT_EQ(chunk[i], i < count ? static_cast<float>(begin + i) : 0.0F);
        }
        StoreAnyChunk(Global<T>(target.data()), begin, count, chunk);
      });
      EXPECT_TRUE(target.IsWritten(begin, begin + count));
      for (int i = 0; i < 3 * kChunk; ++i) {
        const bool inside = i >= begin && i < begin + count;
        EXPECT_EQ(target.IsWritten(i, i + 1), inside);
        if (inside) {
          EXPECT_EQ(ToFloat(target[i]), static_cast<float>(i));
        }
      }
    }
  }
}

TEST(CudaPrimitives, ChunksMoveWhereverTheyLie) {
  ExpectChunksMoveAnywhere<bf16>();
  ExpectChunksMoveAnywhere<float>();
}

TEST(CudaPrimitives, ShufflesEqualTheirDefinition) {
  RunBlock(64, 0, [] {
    const int lane = LaneIndex();
    const int base = WarpIndex() * 100;
    for (int lanes = 0; lanes < 32; ++lanes) {
      EXPECT_EQ(ShuffleXor(base + lane, lanes), base + (lane ^ lanes));
      EXPECT_EQ(ShuffleDown(base + lane, lanes), base + (lane + lanes < 32 ? lane + lanes : lane));
      EXPECT_EQ(ShuffleUp(base + lane, lanes), base + (lane >= lanes ? lane - lanes : lane));
      EXPECT_EQ(ShuffleFrom(base + lane, lanes), base + lanes);
      EXPECT_EQ(ShuffleFrom(base + lane, (lane * 7 + lanes) % 32), base + (lane * 7 + lanes) % 32);
    }
    EXPECT_EQ(ShuffleXor(static_cast<float>(lane), 5), static_cast<float>(lane ^ 5));
    EXPECT_EQ(ShuffleXor(int64_t{lane} << 40, 5), int64_t{lane ^ 5} << 40);
  });
}

TEST(CudaPrimitives, VotesEqualTheirDefinition) {
  RunBlock(64, 0, [] {
    const int lane = LaneIndex();
    EXPECT_EQ(Ballot(lane % 3 == 0), 0x49249249U);
    EXPECT_EQ(Ballot(lane == 31), 0x80000000U);
    EXPECT_TRUE(AnyLane(lane == 7));
    EXPECT_FALSE(AnyLane(lane == 32));
    EXPECT_TRUE(AllLanes(lane < 32));
    EXPECT_FALSE(AllLanes(lane != 7));
    if (lane % 2 == 1) {
      EXPECT_EQ(Ballot(lane > 16, 0xaaaaaaaaU), 0xaaaa0000U);
    }
  });
}

TEST(CudaPrimitives, ReductionsHaveOneOrderAndReachEveryThread) {
  std::mt19937 random(1);
  std::vector<float> values(256);
  for (float& value : values) value = std::normal_distribution<float>()(random);
  std::vector<float> warps(8);
  for (int warp = 0; warp < 8; ++warp) {
    std::vector<float> tree(values.begin() + warp * 32, values.begin() + warp * 32 + 32);
    for (int lanes = 16; lanes > 0; lanes /= 2) {
      for (int lane = 0; lane < lanes; ++lane) tree[lane] += tree[lane + lanes];
    }
    warps[warp] = tree[0];
  }
  float sum = warps[0];
  for (int warp = 1; warp < 8; ++warp) sum += warps[warp];
  const float maximum = *std::max_element(values.begin(), values.end());

  RunBlock(256, 2 * SharedBytes<float>(8), [&] {
    SharedMemory memory;
    const Shared<float> first = memory.Take<float>(8);
    const Shared<float> second = memory.Take<float>(8);
    const float value = values[ThreadIndex()];
    EXPECT_EQ(WarpReduce(value, Plus()), warps[WarpIndex()]);
    EXPECT_EQ(BlockReduce(value, Plus(), first), sum);
    EXPECT_EQ(BlockReduce(value, Maximum(), second), maximum);
    // Groups of 8 lanes.
    EXPECT_EQ(WarpReduce<8>(ThreadIndex(), Plus()), 8 * (ThreadIndex() / 8 * 8) + 28);
  });
}

TEST(CudaPrimitives, TheGreatestOfAWarpReachesEveryLane) {
  RunBlock(64, 0, [] {
    const uint32_t value = (ThreadIndex() * 0x9e3779b9U) ^ 0x80000000U;
    uint32_t want = 0;
    for (uint32_t lane = 0; lane < 32; ++lane) {
      want = std::max(want, ((WarpIndex() * 32 + lane) * 0x9e3779b9U) ^ 0x80000000U);
    }
    EXPECT_EQ(WarpGreatest(value), want);
    EXPECT_EQ(WarpGreatest(0), 0U);
  });
}

TEST(CudaPrimitives, PrefixSumsEqualTheirDefinition) {
  std::vector<uint64_t> values(96), before(96);
  uint64_t total = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = uint64_t{i * i + 1} << 33;
    before[i] = total;
    total += values[i];
  }
  RunBlock(96, SharedBytes<uint64_t>(3) + SharedBytes<uint64_t>(1), [&] {
    SharedMemory memory;
    const Shared<uint64_t> scratch = memory.Take<uint64_t>(3);
    const Shared<uint64_t> atomic = memory.Take<uint64_t>(1);
    const int thread = ThreadIndex();
    const uint64_t of_lanes = before[thread] + values[thread] - before[WarpIndex() * 32];
    EXPECT_EQ(WarpPrefixSum(values[thread]), of_lanes);
    EXPECT_EQ(WarpPrefixSum(LaneIndex()), LaneIndex() * (LaneIndex() + 1) / 2);
    if (thread == 0) atomic.Store(0, 0);
    const PrefixSum<uint64_t> sum = BlockPrefixSum(values[thread], scratch);
    EXPECT_EQ(sum.before, before[thread]);
    EXPECT_EQ(sum.total, total);
    atomic.AtomicAddWide(0, values[thread]);
    BlockBarrier();
    EXPECT_EQ(atomic.Load(0), total);
  });
}

TEST(CudaPrimitives, AMaximumKeepsNan) {
  EXPECT_TRUE(std::isnan(Maximum()(NAN, 1.0F)));
  EXPECT_TRUE(std::isnan(Maximum()(1.0F, NAN)));
  EXPECT_EQ(Maximum()(1.0F, 2.0F), 2.0F);
}

TEST(CudaPrimitives, NumbersBecomeBf16AndBack) {
  for (float x : {0.0F, -0.0F, 1.0F, 1.00390625F, 1.01171875F, -3.14159F, 1e-40F, 3.4e38F}) {
    const uint32_t packed = PackBf16(x, -2.0F);
    EXPECT_EQ(LowBf16(packed), ToFloat(ToBf16(x)));
    EXPECT_EQ(HighBf16(packed), -2.0F);
    EXPECT_EQ(Narrow<bf16>(x).bits, ToBf16(x).bits);
    EXPECT_EQ(Narrow<float>(x), x);
  }
}

TEST(CudaPrimitives, FastFunctionsStayWithinTheirErrors) {
  for (int i = 0; i < 600; ++i) {
    const float x = -126.0F + 0.37F * static_cast<float>(i);
    EXPECT_NEAR(FastExp2(x) / std::exp2(double{x}), 1.0, 0x1p-22);
    EXPECT_NEAR(FastRsqrt(x + 127.0F) * std::sqrt(double{x} + 127.0), 1.0, 0x1p-22);
    EXPECT_NEAR(FastTanh(x / 16), std::tanh(double{x} / 16), 0x1p-10);
  }
  for (float x : {1.0F, 3.0F, -0.7F, 1e30F, 1e-37F}) {
    EXPECT_NEAR(FastReciprocal(x) * double{x}, 1.0, 0x1p-23);
  }
  EXPECT_EQ(FastReciprocal(0x1.1p126F), 0.0F);
  EXPECT_EQ(FastReciprocal(INFINITY), 0.0F);
  EXPECT_EQ(FastExp2(-200.0F), 0.0F);
  EXPECT_EQ(FastExp2(-INFINITY), 0.0F);
}

TEST(CudaPrimitives, ProductsAreRoundedByThemselves) {
  const float x = 1.0F + 0x1p-12F;  // x^2 = 1 + 2^-11 + 2^-24, a tie
  EXPECT_EQ(Multiply(x, x) - 1.0F, 0x1p-11F);
  EXPECT_EQ(Fma(x, x, -1.0F), 0x1p-11F + 0x1p-24F);
}

TEST(CudaPrimitives, BitsAreCounted) {
  EXPECT_EQ(CountBits(0), 0);
  EXPECT_EQ(CountBits(0x80010011U), 4);
  EXPECT_EQ(CountBits(~0U), 32);
}

// 8x8 matrices that lie in rows of `stride` numbers.
template <int kCount, bool kTransposed>
void CheckLoadMatrix() {
  constexpr int kStride = 24;
  RunBlock(32, SharedBytes<uint16_t>(kCount * 8 * kStride), [] {
    SharedMemory memory;
    const Shared<uint16_t> tile = memory.Take<uint16_t>(kCount * 8 * kStride);
    const int lane = ThreadIndex();
    for (int i = lane; i < kCount * 8 * kStride; i += 32) tile.Store(i, i);
    BlockBarrier();
    uint32_t registers[kCount];
    // Lanes beyond the matrices name what does not exist.
    const int row = lane < 8 * kCount ? lane : 100000;
    LoadMatrix<kCount, kTransposed>(registers, tile, row * kStride + 8);
    for (int m = 0; m < kCount; ++m) {
      for (int half = 0; half < 2; ++half) {
        int r = lane / 4, c = lane % 4 * 2 + half;
        if (kTransposed) std::swap(r, c);
        EXPECT_EQ((registers[m] >> (16 * half)) & 0xffffU,
                  static_cast<uint32_t>((8 * m + r) * kStride + 8 + c));
      }
    }
  });
}

TEST(CudaPrimitives, LoadMatrixEqualsItsDefinition) {
  CheckLoadMatrix<1, false>();
  CheckLoadMatrix<2, false>();
  CheckLoadMatrix<4, false>();
  CheckLoadMatrix<1, true>();
  CheckLoadMatrix<2, true>();
  CheckLoadMatrix<4, true>();
}

// Integers, whose products and sums are exact.
std::vector<float> SmallIntegers(int count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 17) - 8);
  return values;
}

float Dot(const float* a, const float* b, int k, int b_stride) {
  float sum = 0.0F;
  for (int i = 0; i < k; ++i) sum += a[i] * b[i * b_stride];
  return sum;
}

// A 16x16 row by row, B 16x8 row by row: A by LoadMatrix, B by its transposed form, as attention
// takes V.
TEST(CudaPrimitives, MmaOfLoadedMatricesIsAProduct) {
  const std::vector<float> a = SmallIntegers(16 * 16, 1), b = SmallIntegers(16 * 8, 2);
  RunBlock(32, SharedBytes<bf16>(16 * 16) + SharedBytes<bf16>(16 * 8), [&] {
    SharedMemory memory;
    const Shared<bf16> a_tile = memory.Take<bf16>(16 * 16);
    const Shared<bf16> b_tile = memory.Take<bf16>(16 * 8);
    const int lane = ThreadIndex();
    for (int i = lane; i < 16 * 16; i += 32) a_tile.Store(i, ToBf16(a[i]));
    for (int i = lane; i < 16 * 8; i += 32) b_tile.Store(i, ToBf16(b[i]));
    BlockBarrier();
    uint32_t a_fragment[4], b_fragment[2];
    LoadMatrix<4>(a_fragment, a_tile, lane % 16 * 16 + lane / 16 * 8);
    LoadMatrix<2, true>(b_fragment, b_tile, lane % 16 * 8);
    float c[4] = {1.0F, 2.0F, 3.0F, 4.0F};
    MmaBf16(c, a_fragment, b_fragment);
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      EXPECT_EQ(c[i], static_cast<float>(i + 1) + Dot(&a[row * 16], &b[column], 16, 8));
    }
  });
}

TEST(CudaPrimitives, MmaTf32IsAProduct) {
  const std::vector<float> a = SmallIntegers(16 * 8, 3), b = SmallIntegers(8 * 8, 4);
  RunBlock(32, 0, [&] {
    const int g = ThreadIndex() / 4, t = ThreadIndex() % 4;
    const uint32_t a_fragment[4] = {ToTf32(a[g * 8 + t]), ToTf32(a[(g + 8) * 8 + t]),
                                    ToTf32(a[g * 8 + t + 4]), ToTf32(a[(g + 8) * 8 + t + 4])};
    const uint32_t b_fragment[2] = {ToTf32(b[t * 8 + g]), ToTf32(b[(t + 4) * 8 + g])};
    float c[4] = {};
    MmaTf32(c, a_fragment, b_fragment);
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(c[i], Dot(&a[(g + i / 2 * 8) * 8], &b[2 * t + i % 2], 8, 8));
    }
  });
}

TEST(CudaPrimitives, Tf32RoundsToTenBits) {
  EXPECT_EQ(ToTf32(1.0F + 0x1p-10F), std::bit_cast<uint32_t>(1.0F + 0x1p-10F));
  EXPECT_EQ(ToTf32(1.0F + 0x1p-11F), std::bit_cast<uint32_t>(1.0F + 0x1p-10F));  // a tie
  EXPECT_EQ(ToTf32(1.0F + 0x1p-12F), std::bit_cast<uint32_t>(1.0F));
}

TEST(CudaPrimitives, PacksMoveWhole) {
  const emulation::GlobalBuffer<bf16> x("x", std::vector<bf16>(64, ToBf16(3.0F)));
  const emulation::GlobalBuffer<bf16> y("y", 64);
  RunBlock(32, SharedBytes<bf16>(64), [&] {
    SharedMemory memory;
    const Shared<bf16> tile = memory.Take<bf16>(64);
    const int thread = ThreadIndex();
    if (thread >= 8) return;
    tile.StorePack<8>(thread * 8,
                      Global<const bf16>(x.data()).LoadPack<8, Cache::kReadOnlyStream>(thread * 8));
    Global<bf16>(y.data()).StorePack<8, Cache::kStream>(thread * 8, tile.LoadPack<8>(thread * 8));
  });
  for (int i = 0; i < 64; ++i) EXPECT_EQ(y[i].bits, x[i].bits);
}

// tests/core/cuda/device_test.cc holds the device against these numbers.
TEST(CudaPrimitives, NoneDependsOnTheOrderOfThreads) {
  const std::vector<float> x = testing::AllPrimitivesInputs();
  const std::vector<uint32_t> straight = testing::RunAllPrimitivesEmulated(x, 0);
  EXPECT_GT(straight.size(), 50U * kAllThreads);
  for (uint32_t seed = 1; seed < 6; ++seed) {
    EXPECT_EQ(testing::RunAllPrimitivesEmulated(x, seed), straight);
  }
}

}  // namespace
}  // namespace quire::QUIRE_CUDA_TARGET
