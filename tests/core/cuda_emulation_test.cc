// Faults of order planted in small kernels, between threads, copies and barriers: the emulation
// finds each of them, and nothing in the right form. Those of addresses:
// cuda_emulation_memory_test.cc.
#include <cstdint>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/launcher.h"
#include "core/cuda/primitives/async_copy.cuh"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/block_reduce.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/warp.cuh"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/planted_kernel.h"

namespace quire::QUIRE_CUDA_TARGET {
namespace {

using ::quire::emulation::GlobalBuffer;
using ::quire::emulation::RunGrid;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Each thread copies its 16 bytes and reads its right neighbour's.
std::string FaultOfCopy(bool commit, bool wait, bool barrier) {
  const GlobalBuffer<float> x("x", Iota(64 * 4));
  const GlobalBuffer<float> y("y", 64);
  std::string fault = FaultOf(Shape(64, SharedBytes<float>(64 * 4)), [&] {
    SharedMemory memory;
    const Shared<float> tile = memory.Take<float>(64 * 4);
    const int thread = ThreadIndex();
    CopyAsync<16>(tile, thread * 4, Global<const float>(x.data()), thread * 4);
    if (commit) CommitCopies();
    if (wait) WaitForCopies<0>();
    if (barrier) BlockBarrier();
    Global<float>(y.data()).Store(thread, tile.Load((thread + 1) % 64 * 4));
  });
  if (fault.empty()) {
    for (int i = 0; i < 64; ++i) EXPECT_EQ(y[i], static_cast<float>((i + 1) % 64 * 4));
  }
  return fault;
}

TEST(CudaEmulation, ACopyIsThereBehindItsWaitAndABarrier) {
  EXPECT_EQ(FaultOfCopy(true, true, true), "");
}

TEST(CudaEmulation, FindsAMissingWaitForACopy) {
  EXPECT_THAT(FaultOfCopy(true, false, true), HasSubstr("has not been waited for"));
}

TEST(CudaEmulation, FindsACopyThatWasNotCommitted) {
  EXPECT_THAT(FaultOfCopy(false, true, true), HasSubstr("has not been waited for"));
}

TEST(CudaEmulation, FindsAMissingBarrierBehindACopy) {
  EXPECT_NE(FaultOfCopy(true, true, false), "");
}

TEST(CudaEmulation, FindsAPipelineThatWaitsForOneGroupTooFew) {
  const GlobalBuffer<float> x("x", Iota(32 * 4 * 3));
  const auto kernel = [&](auto wait) {
    SharedMemory memory;
    const Shared<float> tiles = memory.Take<float>(32 * 4 * 3);
    for (int stage = 0; stage < 3; ++stage) {
      const int at = (stage * 32 + ThreadIndex()) * 4;
      CopyAsync<16>(tiles, at, Global<const float>(x.data()), at);
      CommitCopies();
    }
    wait();
    tiles.Load((32 + ThreadIndex()) * 4);  // the second stage
    WaitForCopies<0>();
  };
  const LaunchShape shape = Shape(32, SharedBytes<float>(32 * 4 * 3));
  EXPECT_EQ(FaultOf(shape, [&] { kernel([] { WaitForCopies<1>(); }); }), "");
  EXPECT_THAT(FaultOf(shape, [&] { kernel([] { WaitForCopies<2>(); }); }),
              HasSubstr("has not been waited for"));
}

TEST(CudaEmulation, ACopyReadsOnlyItsSourceBytesAndFillsWithZeros) {
  const GlobalBuffer<float> x("x", Iota(6));
  const GlobalBuffer<float> y("y", 8);
  const auto kernel = [&](int first, int second) {
    SharedMemory memory;
    const Shared<float> tile = memory.Take<float>(8);
    if (ThreadIndex() == 0) {
      CopyAsync<16>(tile, 0, Global<const float>(x.data()), 0, first);
      CopyAsync<16>(tile, 4, Global<const float>(x.data()), 4, second);
      CommitCopies();
      WaitForCopies<0>();
      for (int i = 0; i < 8; ++i) Global<float>(y.data()).Store(i, tile.Load(i));
    }
  };
  const LaunchShape shape = Shape(32, SharedBytes<float>(8));
  EXPECT_EQ(FaultOf(shape, [&] { kernel(16, 8); }), "");
  EXPECT_EQ(std::vector<float>(y.data(), y.data() + 8),
            (std::vector<float>{0, 1, 2, 3, 4, 5, 0, 0}));
  EXPECT_EQ(FaultOf(shape, [&] { kernel(0, 4); }), "");
  EXPECT_EQ(std::vector<float>(y.data(), y.data() + 8),
            (std::vector<float>{0, 0, 0, 0, 4, 0, 0, 0}));
  EXPECT_THAT(FaultOf(shape, [&] { kernel(16, 12); }), HasSubstr("out of bounds"));
}

// Each thread writes its number and reads another's, in `rounds` with the same memory.
std::string FaultOfExchange(bool barrier_before_read, bool barrier_before_write,
                            bool detect_races = true) {
  const auto kernel = [&] {
    SharedMemory memory;
    const Shared<int> numbers = memory.Take<int>(64);
    for (int round = 0; round < 2; ++round) {
      if (round > 0 && barrier_before_write) BlockBarrier();
      numbers.Store(ThreadIndex(), round);
      if (barrier_before_read) BlockBarrier();
      numbers.Load(63 - ThreadIndex());
    }
  };
  return FaultOf(Shape(64, SharedBytes<int>(64)), kernel, detect_races);
}

TEST(CudaEmulation, FindsAMissingBarrierBeforeARead) {
  EXPECT_EQ(FaultOfExchange(true, true), "");
  EXPECT_NE(FaultOfExchange(false, true), "");
  // Without the detector of races too: some thread reads what nobody has written yet.
  EXPECT_THAT(FaultOfExchange(false, true, /*detect_races=*/false),
              HasSubstr("nobody has written"));
}

TEST(CudaEmulation, FindsAWriteOverWhatOthersStillRead) {
  EXPECT_THAT(FaultOfExchange(true, false), HasSubstr("no barrier between them"));
}

TEST(CudaEmulation, FindsTwoThreadsThatWriteTheSameByte) {
  const auto kernel = [](int apart) {
    SharedMemory memory;
    const Shared<uint16_t> numbers = memory.Take<uint16_t>(65);
    numbers.Store(ThreadIndex() * apart, 1);
  };
  const LaunchShape shape = Shape(64, SharedBytes<uint16_t>(65));
  EXPECT_EQ(FaultOf(shape, [&] { kernel(1); }), "");
  EXPECT_THAT(FaultOf(shape, [&] { kernel(0); }), HasSubstr("no barrier between them"));
}

TEST(CudaEmulation, OnlyAtomicsMayMeetInOneNumber) {
  const GlobalBuffer<uint32_t> sum("sum", 1);
  const auto kernel = [&](bool atomic) {
    SharedMemory memory;
    const Shared<uint32_t> count = memory.Take<uint32_t>(1);
    if (ThreadIndex() == 0) count.Store(0, 0);
    BlockBarrier();
    if (atomic) {
      count.AtomicAdd(0, ThreadIndex());
    } else {
      count.Store(0, count.Load(0) + ThreadIndex());
    }
    BlockBarrier();
    if (ThreadIndex() == 0) Global<uint32_t>(sum.data()).Store(0, count.Load(0));
  };
  const LaunchShape shape = Shape(64, SharedBytes<uint32_t>(1));
  EXPECT_EQ(FaultOf(shape, [&] { kernel(true); }), "");
  EXPECT_EQ(sum[0], 64U * 63 / 2);
  EXPECT_THAT(FaultOf(shape, [&] { kernel(false); }), HasSubstr("no barrier between them"));
}

TEST(CudaEmulation, AWarpBarrierOrdersOneWarpAlone) {
  const auto kernel = [](bool warp_barrier, int other) {
    SharedMemory memory;
    const Shared<int> numbers = memory.Take<int>(64);
    numbers.Store(ThreadIndex(), 1);
    if (warp_barrier) WarpBarrier();
    numbers.Load(ThreadIndex() ^ other);
  };
  const LaunchShape shape = Shape(64, SharedBytes<int>(64));
  EXPECT_EQ(FaultOf(shape, [&] { kernel(true, 1); }), "");
  EXPECT_NE(FaultOf(shape, [&] { kernel(false, 1); }), "");
  EXPECT_NE(FaultOf(shape, [&] { kernel(true, 32); }), "");
}

TEST(CudaEmulation, AShuffleOrdersNoMemory) {
  const auto kernel = [] {
    SharedMemory memory;
    const Shared<int> numbers = memory.Take<int>(32);
    numbers.Store(ThreadIndex(), 1);
    ShuffleXor(1, 1);
    numbers.Load(ThreadIndex() ^ 1);
  };
  EXPECT_THAT(FaultOf(Shape(32, SharedBytes<int>(32)), kernel),
              HasSubstr("no barrier between them"));
}

// Warp 0 makes numbers for warps 1 and 2, which warp 3 has nothing to do with.
std::string FaultOfProducer(bool full, bool free) {
  const auto kernel = [&] {
    SharedMemory memory;
    const Shared<int> numbers = memory.Take<int>(32);
    const int lane = LaneIndex();
    for (int round = 0; round < 3; ++round) {
      if (WarpIndex() == 0) {
        if (free && round > 0) NamedBarrier(2, 96);
        numbers.Store(lane, round);
        if (full) ArriveAtNamedBarrier(1, 96);
      } else if (WarpIndex() < 3) {
        if (full) NamedBarrier(1, 96);
        if (numbers.Load(31 - lane) != round) emulation::Fail("is late", Place::Here());
        if (free && round < 2) ArriveAtNamedBarrier(2, 96);
      }
    }
  };
  return FaultOf(Shape(128, SharedBytes<int>(32)), kernel);
}

TEST(CudaEmulation, NamedBarriersHandOverBothWays) {
  EXPECT_EQ(FaultOfProducer(true, true), "");
  EXPECT_NE(FaultOfProducer(true, false), "");
  EXPECT_NE(FaultOfProducer(false, true), "");
}

TEST(CudaEmulation, FindsANamedBarrierThatIsCountedDifferently) {
  EXPECT_THAT(FaultOf(Shape(64), [] { NamedBarrier(1, WarpIndex() == 0 ? 32 : 64); }),
              HasSubstr("named barrier 1"));
  EXPECT_THAT(FaultOf(Shape(64),
                      [] {
                        if (WarpIndex() == 0) NamedBarrier(3, 64);
                      }),
              AllOf(HasSubstr("cannot go on"), HasSubstr("threads 0-31 wait at named barrier 3")));
}

TEST(CudaEmulation, FindsAMissingWaitForEarlierKernels) {
  LaunchShape overlapping = Shape(64);
  overlapping.overlaps_earlier = true;
  const GlobalBuffer<float> buffer("buffer", Iota(64));
  const Global<float> memory(buffer.data());
  const auto load = [&] { memory.Load(ThreadIndex()); };
  const auto store = [&] { memory.Store(ThreadIndex(), 1.0F); };
  const auto waiting = [](auto call) {
    return [call] {
      WaitForEarlierKernels();
      call();
    };
  };
  EXPECT_EQ(FaultOf(overlapping,
                    [&] {
                      load();  // as weights are: no kernel has written it
                      WaitForEarlierKernels();
                    }),
            "");
  EXPECT_THAT(FaultOf(overlapping, store), HasSubstr("writes before it has waited"));
  EXPECT_EQ(FaultOf(overlapping, waiting(store)), "");
  EXPECT_THAT(FaultOf(overlapping, load), HasSubstr("before it has waited"));
  EXPECT_EQ(FaultOf(overlapping, waiting(load)), "");
  EXPECT_EQ(FaultOf(Shape(64), load), "");  // overlaps nothing
  EXPECT_THAT(FaultOf(overlapping,
                      [&] {
                        if (ThreadIndex() < 40) WaitForEarlierKernels();
                      }),
              HasSubstr("leaves the kernel without a wait"));
}

TEST(CudaEmulation, FindsADivergentBlockBarrier) {
  EXPECT_THAT(FaultOf(Shape(64),
                      [] {
                        if (ThreadIndex() == 17) return;
                        BlockBarrier();
                      }),
              HasSubstr("block barrier"));
  // Not within EXPECT_THAT, whose arguments all have one line.
  const auto two_barriers = [] {
    if (ThreadIndex() < 40) BlockBarrier();
    if (ThreadIndex() >= 40) BlockBarrier();
  };
  EXPECT_THAT(FaultOf(Shape(64), two_barriers),
              AllOf(HasSubstr("this block barrier while threads 0-39 wait"),
                    HasSubstr("cuda_emulation_test.cc")));
  EXPECT_THAT(FaultOf(Shape(64),
                      [] {
                        if (WarpIndex() == 0) NamedBarrier(1, 64);
                        BlockBarrier();
                      }),
              AllOf(HasSubstr("cannot go on"), HasSubstr("threads 0-31 wait at named barrier 1"),
                    HasSubstr("threads 32-63 wait at the block barrier")));
}

TEST(CudaEmulation, FindsALaneThatLeftOrIsElsewhere) {
  EXPECT_THAT(FaultOf(Shape(32),
                      [] {
                        if (LaneIndex() == 5) return;
                        ShuffleXor(1, 1);
                      }),
              HasSubstr("lane"));
  EXPECT_THAT(FaultOf(Shape(32),
                      [] {
                        if (LaneIndex() < 16) {
                          ShuffleXor(1, 1);
                        } else {
                          Ballot(true);
                        }
                      }),
              AllOf(HasSubstr("ShuffleXor"), HasSubstr("Ballot")));
  EXPECT_THAT(FaultOf(Shape(32),
                      [] {
                        if (LaneIndex() == 0) BlockBarrier();
                        ShuffleXor(1, 1);
                      }),
              AllOf(HasSubstr("cannot go on"), HasSubstr("thread 0 wait"),
                    HasSubstr("threads 1-31 wait in ShuffleXor")));
  EXPECT_THAT(FaultOf(Shape(32), [] { ShuffleXor(1, 1, 0xffffU); }), HasSubstr("lacks its lane"));
  EXPECT_THAT(FaultOf(Shape(32),
                      [] {
                        if (LaneIndex() < 16) ShuffleFrom(1, 16, 0xffffU);
                      }),
              HasSubstr("which the mask lacks"));
}

TEST(CudaEmulation, HalvesOfAWarpMayShuffleByThemselves) {
  EXPECT_EQ(FaultOf(Shape(32),
                    [] {
                      if (LaneIndex() < 16) {
                        ShuffleXor(1, 1, 0x0000ffffU);
                      } else {
                        ShuffleXor(1, 1, 0xffff0000U);
                      }
                      ShuffleXor(1, 1);  // one half may be here before the other is done there
                    }),
            "");
}

TEST(CudaEmulation, FindsAScratchThatIsUsedTwice) {
  const auto kernel = [](int scratches) {
    SharedMemory memory;
    const Shared<float> scratch = memory.Take<float>(2 * BlockWarps());
    for (int i = 0; i < 2; ++i) {
      BlockReduce(1.0F, Plus(), scratch + i % scratches * BlockWarps());
    }
  };
  const LaunchShape shape = Shape(64, SharedBytes<float>(4));
  EXPECT_EQ(FaultOf(shape, [&] { kernel(2); }), "");
  EXPECT_THAT(FaultOf(shape, [&] { kernel(1); }), HasSubstr("no barrier between them"));
}

TEST(CudaEmulation, BlocksThatWaitForEachOtherNeedToRunSideBySide) {
  const GlobalBuffer<uint32_t> arrived("arrived", std::vector<uint32_t>{0});
  const auto kernel = [&] {
    const Global<uint32_t> count(arrived.data());
    if (ThreadIndex() == 0) {
      count.AtomicAdd(0, 1);
      for (int i = 0; count.LoadAcquire(0) < 2; ++i) {
        if (i > 1000) emulation::Fail("waits for the other block in vain", Place::Here());
      }
    }
  };
  EXPECT_TRUE(RunGrid(Shape(32, 0, 2), {.resident_blocks = 2}, kernel).ok());
  arrived[0] = 0;
  EXPECT_THAT(std::string(RunGrid(Shape(32, 0, 2), {}, kernel).message()), HasSubstr("in vain"));
}

TEST(CudaEmulation, ASeedGivesAnOrderOfItsOwnAndTheSameEachTime) {
  const GlobalBuffer<uint32_t> next("next", 1);
  const GlobalBuffer<int> order("order", 256);
  const auto order_of = [&](uint32_t seed, int resident_blocks) {
    next[0] = 0;
    emulation::GlobalRegion::Write(next.data(), 4);
    EXPECT_TRUE(
        RunGrid(Shape(64, 0, 4), {.seed = seed, .resident_blocks = resident_blocks}, [&] {
          const int64_t at = Global<uint32_t>(next.data()).AtomicAdd(0, 1);
          Global<int>(order.data()).Store(at, static_cast<int>(BlockX()) * 64 + ThreadIndex());
        }).ok());
    return std::vector<int>(order.data(), order.data() + 256);
  };
  std::vector<int> straight(256);
  std::iota(straight.begin(), straight.end(), 0);
  EXPECT_EQ(order_of(0, 1), straight);
  std::set<std::vector<int>> orders;
  for (uint32_t seed = 1; seed < 5; ++seed) {
    orders.insert(order_of(seed, 1));
    EXPECT_EQ(order_of(seed, 1), order_of(seed, 1));
  }
  orders.insert(order_of(1, 4));
  EXPECT_EQ(orders.size(), 5U);
}

TEST(CudaEmulation, RefusesWhatTheDeviceWouldRefuse) {
  const auto nothing = [] {};
  EXPECT_FALSE(RunGrid(Shape(33), {}, nothing).ok());
  EXPECT_FALSE(RunGrid(Shape(2048), {}, nothing).ok());
  EXPECT_FALSE(RunGrid(Shape(32, kMaxSharedBytes + 1), {}, nothing).ok());
  EXPECT_TRUE(RunGrid(Shape(32, kMaxSharedBytes), {}, nothing).ok());
  const emulation::EmulationOptions little{.max_shared_bytes = kLeastSharedBytes};
  EXPECT_TRUE(RunGrid(Shape(32, kLeastSharedBytes), little, nothing).ok());
  EXPECT_FALSE(RunGrid(Shape(32, kLeastSharedBytes + 1), little, nothing).ok());
  LaunchShape tall = Shape(32);
  tall.grid.y = kMaxGridYZ + 1;
  EXPECT_FALSE(RunGrid(tall, {}, nothing).ok());
  EXPECT_TRUE(RunGrid(Shape(32, 0, 0), {}, nothing).ok());
}

}  // namespace
}  // namespace quire::QUIRE_CUDA_TARGET
