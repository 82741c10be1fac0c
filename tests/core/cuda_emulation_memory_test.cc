// Faults of addresses planted in small kernels, out of bounds, unwritten or misaligned: the
// emulation finds each of them, and nothing in the right form.
#include <cstdint>

#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/planted_kernel.h"

namespace quire::QUIRE_CUDA_TARGET {
namespace {

using ::quire::emulation::GlobalBuffer;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(CudaEmulationMemory, FindsAnIndexOneBehindTheEnd) {
  const GlobalBuffer<float> x("x", Iota(64));
  const GlobalBuffer<float> y("y", 64);
  const auto copy = [&](int64_t from, int64_t to) {
    const int64_t i = BlockX() * BlockThreads() + ThreadIndex();
    const float value = Global<const float>(x.data()).Load(i + from);
    Global<float>(y.data()).Store(i + to, value);
  };
  const LaunchShape shape = Shape(32, 0, 2);
  EXPECT_EQ(FaultOf(shape, [&] { copy(0, 0); }), "");
  EXPECT_THAT(FaultOf(shape, [&] { copy(1, 0); }),
              AllOf(HasSubstr("block (1,0,0), thread 31"), HasSubstr("byte 256 of 'x'"),
                    HasSubstr("cuda_emulation_memory_test.cc:")));
  EXPECT_THAT(FaultOf(shape, [&] { copy(0, -1); }), HasSubstr("out of bounds"));
}

TEST(CudaEmulationMemory, FindsAPageTooFar) {
  constexpr int kPage = 8;
  const GlobalBuffer<float> pages("pages", Iota(4 * kPage));
  const auto kernel = [&](int page) {
    if (ThreadIndex() < kPage) {
      Global<const float>(pages.data()).Load(page * kPage + ThreadIndex());
    }
  };
  EXPECT_EQ(FaultOf(Shape(32), [&] { kernel(3); }), "");
  EXPECT_THAT(FaultOf(Shape(32), [&] { kernel(4); }), HasSubstr("out of bounds"));
}

TEST(CudaEmulationMemory, FindsAnAccessBetweenStridedRows) {
  GlobalBuffer<float> x("x", Iota(3 * 40));
  x.ForbidGaps(33, 40);
  const auto kernel = [&](int cols) {
    for (int i = ThreadIndex(); i < cols; i += BlockThreads()) {
      Global<float>(x.data()).Store(BlockX() * 40 + i, 0.0F);
    }
  };
  EXPECT_EQ(FaultOf(Shape(32, 0, 3), [&] { kernel(33); }), "");
  EXPECT_THAT(FaultOf(Shape(32, 0, 3), [&] { kernel(34); }), HasSubstr("byte 132 of 'x'"));
}

TEST(CudaEmulationMemory, FindsAnAccessOutsideOfASharedPiece) {
  const auto kernel = [](int i) {
    SharedMemory memory;
    const Shared<float> first = memory.Take<float>(3);
    memory.Take<float>(4);
    if (ThreadIndex() == 0) first.Store(i, 1.0F);
  };
  const LaunchShape shape = Shape(32, SharedBytes<float>(3) + SharedBytes<float>(4));
  EXPECT_EQ(FaultOf(shape, [&] { kernel(2); }), "");
  EXPECT_THAT(FaultOf(shape, [&] { kernel(3); }), HasSubstr("a shared piece of 3"));
  EXPECT_THAT(FaultOf(Shape(32, SharedBytes<float>(3)), [&] { kernel(0); }),
              HasSubstr("takes 32 bytes of shared memory; it was launched with 16"));
}

TEST(CudaEmulationMemory, FindsReadsOfWhatNobodyHasWritten) {
  const GlobalBuffer<float> y("y", 32);
  const auto kernel = [&](bool global) {
    SharedMemory memory;
    const Shared<float> numbers = memory.Take<float>(32);
    if (global) {
      Global<float>(y.data()).Load(ThreadIndex());
    } else {
      numbers.Load(ThreadIndex());
    }
  };
  const LaunchShape shape = Shape(32, SharedBytes<float>(32));
  EXPECT_THAT(FaultOf(shape, [&] { kernel(true); }), HasSubstr("'y', which nobody has written"));
  EXPECT_THAT(FaultOf(shape, [&] { kernel(false); }), HasSubstr("shared byte 0, which nobody"));
}

TEST(CudaEmulationMemory, SharedMemoryIsForgottenBetweenBlocks) {
  const auto kernel = [] {
    SharedMemory memory;
    const Shared<int> numbers = memory.Take<int>(32);
    if (BlockX() == 0) numbers.Store(ThreadIndex(), 7);
    numbers.Load(ThreadIndex());
  };
  EXPECT_THAT(FaultOf(Shape(32, SharedBytes<int>(32), 2), kernel), HasSubstr("block (1,0,0)"));
}

TEST(CudaEmulationMemory, FindsAMisalignedPack) {
  const GlobalBuffer<float> x("x", Iota(64));
  EXPECT_THAT(
      FaultOf(Shape(32), [&] { Global<const float>(x.data()).LoadPack<4>(ThreadIndex() * 2); }),
      HasSubstr("not aligned"));
}

}  // namespace
}  // namespace quire::QUIRE_CUDA_TARGET
