// The way of tokens to their experts and back; the experts' products stand elsewhere.
//
// Sort: one block owns kPairsPerBlock pairs, each of its warps a run of them, 32 at a time. Latency
// bounds it: the pairs are read twice, counted by expert and warp in shared memory, and placed.
// Where there is more than one block, a kernel before it counts the pairs of each. Everything is a
// whole number with one right value: the number of warps and blocks changes nothing.
//
// Combine: one block owns a piece of a token's result. It streams its k rows: two FLOPs a number.
#ifndef QUIRE_OPS_CUDA_EXPERTS_CUH_
#define QUIRE_OPS_CUDA_EXPERTS_CUH_

#include <cstdint>

#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"
#include "ops/cuda/chunks.cuh"
#include "ops/cuda/moe_args.h"
#include "ops/cuda/row_ops.cuh"

namespace quire::QUIRE_CUDA_TARGET {

struct SortParams {
  Global<const int32_t> ids;
  int64_t pairs;
  int top_k;
  int num_experts;
  int id_bits;             // of the greatest id
  int sorting_warps;       // those of a block that have pairs
  Global<int32_t> counts;  // [blocks, X], or null
  Global<int32_t> expert_start;
  Global<int32_t> source_row;
  Global<int32_t> place;

  QUIRE_DEVICE int64_t BlockBegin() const { return BlockX() * kPairsPerBlock; }
  QUIRE_DEVICE int64_t BlockEnd() const {
    const int64_t end = BlockBegin() + kPairsPerBlock;
    return end < pairs ? end : pairs;
  }
  QUIRE_DEVICE int Id(int64_t pair) const {
    const int id = ids.Load(pair);
    DeviceCheck(id >= 0 && id < num_experts);
    return id;
  }
};

// counts[block] of the block's pairs.
inline QUIRE_KERNEL(kMaxBlockThreads, 1) void CountPairsKernel(SortParams p) {
  SharedMemory memory;
  const Shared<int32_t> counts = memory.Take<int32_t>(p.num_experts);
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  for (int id = ThreadIndex(); id < p.num_experts; id += BlockThreads()) counts.Store(id, 0);
  BlockBarrier();
  for (int64_t i = p.BlockBegin() + ThreadIndex(); i < p.BlockEnd(); i += BlockThreads()) {
    counts.AtomicAdd(p.Id(i), 1);
  }
  BlockBarrier();
  for (int id = ThreadIndex(); id < p.num_experts; id += BlockThreads()) {
    p.counts.Store(BlockX() * p.num_experts + id, counts.Load(id));
  }
}

// One block's part of the sort. Thread x is that of expert x too.
class PairSorter {
 public:
  QUIRE_DEVICE explicit PairSorter(const SortParams& params)
      : p_(params),
        next_(memory_.Take<int32_t>(p_.sorting_warps * p_.num_experts)),
        warp_sums_(memory_.Take<int32_t>(BlockWarps())) {
    const int64_t pairs = p_.BlockEnd() - p_.BlockBegin();
    const int64_t lines = (pairs + kWarpLanes - 1) / kWarpLanes;
    const int64_t run = (lines + p_.sorting_warps - 1) / p_.sorting_warps * kWarpLanes;
    begin_ = Earlier(p_.BlockBegin() + WarpIndex() * run);
    end_ = Earlier(begin_ + run);
  }

  QUIRE_DEVICE void Run() {
    for (int i = ThreadIndex(); i < p_.sorting_warps * p_.num_experts; i += BlockThreads()) {
      next_.Store(i, 0);
    }
    BlockBarrier();
    for (int64_t pair = begin_ + LaneIndex(); pair < end_; pair += kWarpLanes) {
      next_.AtomicAdd(WarpIndex() * p_.num_experts + p_.Id(pair), 1);
    }
    BlockBarrier();
    TurnCountsIntoPlaces();
    BlockBarrier();
    for (int64_t pair = begin_; pair < end_; pair += kWarpLanes) PlaceLine(pair);
  }

 private:
  QUIRE_DEVICE int64_t Earlier(int64_t pair) const {
    return pair < p_.BlockEnd() ? pair : p_.BlockEnd();
  }

  // next_[warp, x]: where the warp's first pair of expert x goes.
  QUIRE_DEVICE void TurnCountsIntoPlaces() {
    const int x = ThreadIndex();
    const bool is_expert = x < p_.num_experts;
    int before = 0, total = 0;  // of expert x: pairs in the blocks before this one, and in all
    if (is_expert && GridX() == 1) {
      for (int warp = 0; warp < p_.sorting_warps; ++warp) {
        total += next_.Load(warp * p_.num_experts + x);
      }
    } else if (is_expert) {
      for (int64_t block = 0; block < GridX(); ++block) {
        const int count = p_.counts.Load(block * p_.num_experts + x);
        if (block < BlockX()) before += count;
        total += count;
      }
    }
    const int start = SumBefore(total);
    if (!is_expert) return;
    if (BlockX() == 0) {
      p_.expert_start.Store(x, start);
      if (x == p_.num_experts - 1) p_.expert_start.Store(p_.num_experts, start + total);
    }
    int next = start + before;
    for (int warp = 0; warp < p_.sorting_warps; ++warp) {
      const int at = warp * p_.num_experts + x;
      const int count = next_.Load(at);
      next_.Store(at, next);
      next += count;
    }
  }

  // The sum of `count` over the threads before this one.
  QUIRE_DEVICE int SumBefore(int count) const {
    int sum = count;  // with those of the lanes before it
    QUIRE_UNROLL
    for (int lanes = 1; lanes < kWarpLanes; lanes *= 2) {
      const int other = ShuffleUp(sum, lanes);
      if (LaneIndex() >= lanes) sum += other;
    }
    if (LaneIndex() == kWarpLanes - 1) warp_sums_.Store(WarpIndex(), sum);
    BlockBarrier();
    int before = sum - count;
    for (int warp = 0; warp < WarpIndex(); ++warp) before += warp_sums_.Load(warp);
    return before;
  }

  // The 32 pairs from `first` on, or as many as the warp has left.
  QUIRE_DEVICE void PlaceLine(int64_t first) const {
    const int64_t pair = first + LaneIndex();
    const bool is_pair = pair < end_;
    const int id = is_pair ? p_.Id(pair) : 0;
    uint32_t same = Ballot(is_pair);  // the lanes of the same expert
    for (int bit = 0; bit < p_.id_bits; ++bit) {
      const bool is_set = ((id >> bit) & 1) != 0;
      const uint32_t set = Ballot(is_set);
      same &= is_set ? set : ~set;
    }
    const int at = WarpIndex() * p_.num_experts + id;
    const int rank = CountBits(same & ((1U << LaneIndex()) - 1));
    const int next = is_pair ? next_.Load(at) : 0;
    WarpBarrier();
    if (is_pair) {
      if (rank == 0) next_.Store(at, next + CountBits(same));
      p_.place.Store(pair, next + rank);
      p_.source_row.Store(next + rank, static_cast<int32_t>(pair) / p_.top_k);
    }
    WarpBarrier();
  }

  const SortParams& p_;
  SharedMemory memory_;
  Shared<int32_t> next_;       // [sorting warps, X]
  Shared<int32_t> warp_sums_;  // [warps]
  int64_t begin_;              // the pairs [begin, end) are this warp's
  int64_t end_;
};

inline QUIRE_KERNEL(kMaxBlockThreads, 1) void SortPairsKernel(SortParams p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  PairSorter(p).Run();
}

// Of args.ids.size pairs, 0 too: expert_start is written anyway.
template <typename Launcher>
void LaunchSortPairs(Launcher& launcher, const SortPairsArgs& args) {
  const int64_t pairs = args.ids.size;
  const int64_t blocks =
      pairs <= kPairsPerBlock ? 1 : (pairs + kPairsPerBlock - 1) / kPairsPerBlock;
  const int64_t most = blocks > 1 ? kPairsPerBlock : pairs > 0 ? pairs : 1;  // of a block
  const int64_t lines = (most + kWarpLanes - 1) / kWarpLanes;
  // A sorting warp counts for itself, in shared memory.
  const int64_t fit = static_cast<int64_t>(launcher.max_shared_bytes() - (size_t{1} << 10)) /
                      static_cast<int64_t>(SharedBytes<int32_t>(args.num_experts));
  constexpr int64_t kMaxWarps = kMaxBlockThreads / kWarpLanes;
  const int64_t most_warps = fit < kMaxWarps ? fit : kMaxWarps;
  SortParams params{.ids = Global<const int32_t>(args.ids.data),
                    .pairs = pairs,
                    .top_k = args.top_k,
                    .num_experts = args.num_experts,
                    .id_bits = 0,
                    .sorting_warps = static_cast<int>(lines < most_warps ? lines : most_warps),
                    .counts = Global<int32_t>(args.counts),
                    .expert_start = Global<int32_t>(args.expert_start),
                    .source_row = Global<int32_t>(args.source_row),
                    .place = Global<int32_t>(args.place)};
  while ((args.num_experts - 1) >> params.id_bits != 0) ++params.id_bits;

  LaunchShape shape{.name = "count_pairs", .grid = {.x = blocks}, .overlaps_earlier = true};
  if (blocks > 1) {
    shape.threads = kMaxBlockThreads;
    shape.shared_bytes = SharedBytes<int32_t>(args.num_experts);
    launcher.Launch(shape, &CountPairsKernel, params);
  }
  const int expert_warps = (args.num_experts + kWarpLanes - 1) / kWarpLanes;
  const int warps = params.sorting_warps < expert_warps ? expert_warps : params.sorting_warps;
  shape.name = "sort_pairs";
  shape.threads = warps * kWarpLanes;
  shape.shared_bytes =
      SharedBytes<int32_t>(params.sorting_warps * args.num_experts) + SharedBytes<int32_t>(warps);
  launcher.Launch(shape, &SortPairsKernel, params);
}

template <typename T, bool kAligned>
struct CombineOp {
  int width;  // E
  Global<const T> y;
  int64_t y_stride;
  int64_t y_rows;
  Global<const float> weights;
  int64_t weights_stride;
  Global<const int32_t> place;
  int top_k;
  Global<float> out;
  int64_t out_stride;

  QUIRE_DEVICE void Run(int64_t row, int begin, int count) const {
    float sums[kChunk] = {};
    for (int first = 0; first < top_k; first += kAtOnce) {
      float values[kAtOnce][kChunk];
      QUIRE_UNROLL
      for (int j = 0; j < kAtOnce; ++j) {
        if (first + j < top_k) {
          const int64_t from = place.Load(row * top_k + first + j);
          DeviceCheck(from >= 0 && from < y_rows);
          LoadChunk<kAligned, Cache::kStream>(y + from * y_stride, begin, count, values[j]);
        }
      }
      QUIRE_UNROLL
      for (int j = 0; j < kAtOnce; ++j) {
        if (first + j < top_k) Add(weights.Load(row * weights_stride + first + j), values[j], sums);
      }
    }
    StoreChunk<kAligned>(out + row * out_stride, begin, count, sums);
  }

 private:
  static constexpr int kAtOnce = 4;  // rows under way

  QUIRE_DEVICE static void Add(float weight, const float (&values)[kChunk], float (&sums)[kChunk]) {
    QUIRE_UNROLL
    for (int i = 0; i < kChunk; ++i) sums[i] = Fma(weight, values[i], sums[i]);
  }
};

// args.out.rows of them, with args.out.cols > 0.
template <typename Launcher>
void LaunchCombineExperts(Launcher& launcher, const CombineExpertsArgs& args) {
  const DeviceMatrix &y = args.y, &out = args.out;
  WithTypeOf(y.dtype, [&](auto type) {
    WithConstant(HasAlignedRows(y) && HasAlignedRows(out), [&](auto is_aligned) {
      using T = decltype(type);
      const CombineOp<T, decltype(is_aligned)::value> op{
          .width = static_cast<int>(out.cols),
          .y = Global<const T>(static_cast<const T*>(y.data)),
          .y_stride = y.row_stride,
          .y_rows = y.rows,
          .weights = Global<const float>(static_cast<const float*>(args.weights.data)),
          .weights_stride = args.weights.row_stride,
          .place = Global<const int32_t>(args.place.data),
          .top_k = static_cast<int>(args.weights.cols),
          .out = Global<float>(static_cast<float*>(out.data)),
          .out_stride = out.row_stride};
      LaunchRows(launcher, "combine_experts", out.rows, op);
    });
  });
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_EXPERTS_CUH_
