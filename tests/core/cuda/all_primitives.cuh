// A kernel that calls every primitive and records what it got, so that the device can be held
// against the emulation.
#ifndef QUIRE_TESTS_CORE_CUDA_ALL_PRIMITIVES_CUH_
#define QUIRE_TESTS_CORE_CUDA_ALL_PRIMITIVES_CUH_

#include <bit>
#include <cstdint>

#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/async_copy.cuh"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/block_reduce.cuh"
#include "core/cuda/primitives/block_scan.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/matrix.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kAllThreads = 64;
inline constexpr int kAllInputs = 1024;  // small integers
inline constexpr int kAllRecords = 96;   // of a thread, at most
inline constexpr int kAllFast =
    4;  // records, the first ones, that agree to 2^-10 and not to the bit

struct AllPrimitivesParams {
  Global<const float> x;         // [kAllInputs]
  Global<uint32_t> counters;     // [2], zeros
  Global<uint32_t> out;          // [kAllRecords, kAllThreads]
  Global<uint32_t> num_records;  // [1]
};

class Recorder {
 public:
  QUIRE_DEVICE explicit Recorder(Global<uint32_t> out) : out_(out) {}
  QUIRE_DEVICE void operator()(uint32_t value) {
    DeviceCheck(count_ < kAllRecords);
    out_.Store(count_++ * kAllThreads + ThreadIndex(), value);
  }
  QUIRE_DEVICE void operator()(int value) { (*this)(static_cast<uint32_t>(value)); }
  QUIRE_DEVICE void operator()(bool value) { (*this)(uint32_t{value}); }
  QUIRE_DEVICE void operator()(float value) { (*this)(std::bit_cast<uint32_t>(value)); }
  template <typename T, int N>
  QUIRE_DEVICE void operator()(const T (&values)[N]) {
    for (int i = 0; i < N; ++i) (*this)(values[i]);
  }
  QUIRE_DEVICE int count() const { return count_; }

 private:
  Global<uint32_t> out_;
  int count_ = 0;
};

QUIRE_DEVICE void RecordNumbers(Recorder& record, float x) {
  record(FastExp2(x * 0.37F));
  record(FastRsqrt(x * x + 0.3F));
  record(FastTanh(x * 0.11F));
  record(FastReciprocal(x * x + 0.3F));
  record(ExactRsqrt(x * x + 0.3F));
  record(ExactDivide(x, 3.0F));
  record(ExactMultiply(x * 1.1F, 0.7F) - x);
  record(Fma(x, 1.1F, 0.7F));
  record(Multiply(x, 1.1F) + 0.7F);
  record(CountBits(std::bit_cast<uint32_t>(x)));
  record(PackBf16(x * 1.01F, x * 0.003F));
  record(uint32_t{Narrow<bf16>(x * 1.01F).bits});
  record(ToTf32(x * 1.001F));
}

QUIRE_DEVICE void RecordWarp(Recorder& record, int x) {
  const int lane = LaneIndex();
  record(ShuffleXor(x, 9));
  record(ShuffleDown(x, 5));
  record(ShuffleUp(x, 5));
  record(ShuffleFrom(x, (lane * 5 + 3) % 32));
  record(Ballot(x > 0));
  record(AnyLane(x > 7));
  record(AllLanes(x > -9));
  record(WarpReduce<8>(x, Plus()));
  record(WarpGreatest(static_cast<uint32_t>(x)));
  if (lane % 2 == 1) {
    record(ShuffleXor(x, 2, 0xaaaaaaaaU));
  } else {
    record(ShuffleXor(x, 4, 0x55555555U));
  }
  record(WarpReduce(static_cast<float>(x) * 0.1F, Maximum()));
  record(WarpPrefixSum(x));
}

// Two warps that hand numbers to each other.
QUIRE_DEVICE void RecordBarriers(Recorder& record, Shared<float> numbers, float x) {
  const int lane = LaneIndex();
  if (WarpIndex() == 0) {
    numbers.Store(lane, x);
    ArriveAtNamedBarrier(1, kAllThreads);
    NamedBarrier(2, kAllThreads);
    record(numbers.Load(32 + (lane ^ 3)));
  } else {
    NamedBarrier(1, kAllThreads);
    record(numbers.Load(lane ^ 7));
    numbers.Store(32 + lane, x);
    ArriveAtNamedBarrier(2, kAllThreads);
  }
  BlockBarrier();
  numbers.Store(ThreadIndex(), -x);
  WarpBarrier();
  record(numbers.Load(ThreadIndex() ^ 1));
}

QUIRE_DEVICE void RecordCopies(Recorder& record, Shared<float> tile, Global<const float> x) {
  const int thread = ThreadIndex();
  CopyAsync<16>(tile, thread * 8, x, thread * 8);
  CommitCopies();
  CopyAsync<16>(tile, thread * 8 + 4, x, thread * 4, thread % 5 * 4);
  CommitCopies();
  WaitForCopies<1>();
  record(tile.LoadPack<4>(thread * 8).values);
  WaitForCopies<0>();
  BlockBarrier();
  record(tile.LoadPack<4>((thread ^ 33) * 8 + 4).values);
  BlockBarrier();
  CopyAsync<8>(tile, thread * 4, x, thread * 2);
  CopyAsync<4>(tile, thread * 4 + 2, x, thread + 5);
  CopyAsync<4>(tile, thread * 4 + 3, x, thread, 0);
  CommitCopies();
  WaitForCopies<0>();
  record(tile.LoadPack<4>(thread * 4).values);
}

template <int kCount, bool kTransposed>
QUIRE_DEVICE void RecordLoadMatrix(Recorder& record, Shared<bf16> tile) {
  uint32_t registers[kCount];
  LoadMatrix<kCount, kTransposed>(registers, tile, LaneIndex() * 16 + WarpIndex() * 8);
  record(registers);
}

// A tile [32, 16] of small integers: all products are exact.
QUIRE_DEVICE void RecordMatrices(Recorder& record, Shared<bf16> tile, Global<const float> x) {
  for (int i = ThreadIndex(); i < 32 * 16; i += kAllThreads) {
    tile.Store(i, Narrow<bf16>(x.Load<Cache::kReadOnly>(i)));
  }
  BlockBarrier();
  RecordLoadMatrix<1, false>(record, tile);
  RecordLoadMatrix<1, true>(record, tile);
  RecordLoadMatrix<2, false>(record, tile);
  RecordLoadMatrix<2, true>(record, tile);
  RecordLoadMatrix<4, false>(record, tile);
  RecordLoadMatrix<4, true>(record, tile);
  uint32_t a[4], b[2];
  LoadMatrix<4>(a, tile, LaneIndex() % 16 * 16 + LaneIndex() / 16 * 8);
  LoadMatrix<2>(b, tile, (16 + LaneIndex() % 8) * 16 + LaneIndex() / 8 % 2 * 8);
  float c[4] = {1.0F, 2.0F, 3.0F, 4.0F};
  MmaBf16(c, a, b);
  record(c);
  for (int i = 0; i < 4; ++i) a[i] = ToTf32(x.Load(ThreadIndex() * 4 + i));
  for (int i = 0; i < 2; ++i) b[i] = ToTf32(x.Load(ThreadIndex() * 2 + i));
  MmaTf32(c, a, b);
  record(c);
}

QUIRE_KERNEL(kAllThreads, 1)
void AllPrimitivesKernel(AllPrimitivesParams p) {
  SharedMemory memory;
  const Shared<float> floats = memory.Take<float>(kAllThreads * 8);
  const Shared<bf16> tile = memory.Take<bf16>(32 * 16);
  const Shared<float> scratch = memory.Take<float>(BlockWarps());
  const Shared<uint32_t> count = memory.Take<uint32_t>(1);
  const Shared<uint64_t> large_count = memory.Take<uint64_t>(1);
  const Shared<uint64_t> large_scratch = memory.Take<uint64_t>(BlockWarps());
  WaitForEarlierKernels();
  LetLaterKernelsBegin();

  Recorder record(p.out);
  const int thread = ThreadIndex();
  const float x = p.x.Load(thread);
  RecordNumbers(record, x);
  RecordWarp(record, static_cast<int>(x));
  record(BlockReduce(x * 0.1F, Plus(), scratch));
  RecordBarriers(record, floats, x);
  BlockBarrier();
  RecordCopies(record, floats, p.x);
  RecordMatrices(record, tile, p.x);
  record(p.x.LoadPack<4, Cache::kReadOnlyStream>(thread * 4).values);
  record(p.x.LoadPack<2, Cache::kStream>(thread * 2).values);

  const PrefixSum<uint64_t> sum = BlockPrefixSum(uint64_t{1} << (thread % 60), large_scratch);
  record(static_cast<uint32_t>(sum.before >> 32) ^ static_cast<uint32_t>(sum.before));
  record(static_cast<uint32_t>(sum.total >> 32) ^ static_cast<uint32_t>(sum.total));

  if (thread == 0) {
    count.Store(0, 0);
    large_count.Store(0, 0);
  }
  BlockBarrier();
  large_count.AtomicAddWide(0, uint64_t{3} << 30);
  count.AtomicAdd(0, static_cast<uint32_t>(thread));
  p.counters.AtomicAdd(0, static_cast<uint32_t>(thread));
  BlockBarrier();
  record(count.Load(0));
  record(static_cast<uint32_t>(large_count.Load(0) >> 32));
  record(p.counters.LoadAcquire(0));
  if (thread == 0) {
    p.counters.StoreRelease(1, 7);
    p.num_records.Store<Cache::kStream>(0, static_cast<uint32_t>(record.count()));
  }
}

template <typename Launcher>
void LaunchAllPrimitives(Launcher& launcher, const AllPrimitivesParams& params) {
  launcher.Launch(
      {.name = "all_primitives",
       .threads = kAllThreads,
       .shared_bytes = SharedBytes<float>(kAllThreads * 8) + SharedBytes<bf16>(32 * 16) +
                       SharedBytes<float>(kAllThreads / kWarpLanes) + SharedBytes<uint32_t>(1) +
                       SharedBytes<uint64_t>(1) + SharedBytes<uint64_t>(kAllThreads / kWarpLanes),
       .overlaps_earlier = true},
      &AllPrimitivesKernel, params);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_TESTS_CORE_CUDA_ALL_PRIMITIVES_CUH_
