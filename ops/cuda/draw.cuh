// Draws tokens: one block owns a row. It reads it once for its greatest element, a few times for
// each cut (select.cuh) and once for the sums of what is kept, by segments of ascending ids; the
// segment at which the running sum passes the share is then searched by one warp.
#ifndef QUIRE_OPS_CUDA_DRAW_CUH_
#define QUIRE_OPS_CUDA_DRAW_CUH_

#include <cstdint>

#include "core/ceil_div.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/block_scan.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"
#include "ops/cuda/logit_row.cuh"
#include "ops/cuda/records.cuh"
#include "ops/cuda/sampler_args.h"
#include "ops/cuda/select.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kSegment = kWarpLanes * kWarpLanes;  // ids that a warp sums at a time

struct DrawParams {
  int size;  // V
  int id_bits;
  Global<const float> logits;
  int64_t logits_stride;
  Global<const float> edited;
  int64_t edited_stride;
  Global<const DrawRow> rows;
  Global<int32_t> tokens;
};

QUIRE_HOST_DEVICE int NumSegments(int size) { return (size + kSegment - 1) / kSegment; }

// What of a row is kept, by weight.
struct Kept {
  ElementOrder order;
  Weighing weighing;
  uint64_t cut;
  uint64_t min_weight;

  QUIRE_DEVICE uint64_t operator()(int id, float y) const {
    if (order.Of(y, id) > cut) return 0;
    const uint64_t weight = weighing(y);
    return weight >= min_weight ? weight : 0;
  }
};

// The sum over ids [segment * kSegment, ...), by one warp.
QUIRE_DEVICE uint64_t SegmentSum(const LogitRow& row, const Kept& kept, int segment) {
  constexpr int kBatch = 8;
  uint64_t sum = 0;
  for (int step = 0; step < kWarpLanes; step += kBatch) {
    const int first = segment * kSegment + step * kWarpLanes + LaneIndex();
    float y[kBatch] = {};
    QUIRE_UNROLL
    for (int i = 0; i < kBatch; ++i) {
      const int id = first + i * kWarpLanes;
      if (id < row.size()) y[i] = row.Load(id);
    }
    QUIRE_UNROLL
    for (int i = 0; i < kBatch; ++i) {
      const int id = first + i * kWarpLanes;
      if (id < row.size()) sum += kept(id, y[i]);
    }
  }
  return WarpReduce(sum, Plus());
}

// The lane in whose `weight` the running sum over lanes passes the share, which becomes what the
// share is beyond the lanes before it. One warp.
QUIRE_DEVICE int PassingLane(uint64_t weight, uint64_t& share) {
  const uint64_t sum = WarpPrefixSum(weight);
  const uint32_t passed = Ballot(sum > share);
  int lane = 0;
  while (lane < kWarpLanes - 1 && ((passed >> lane) & 1U) == 0) ++lane;
  share -= ShuffleFrom(sum - weight, lane);
  return lane;
}

// The first id of a segment at which the running sum passes the share: by 32 groups of 32 ids, then
// within one. One warp.
QUIRE_DEVICE int DrawInSegment(const LogitRow& row, const Kept& kept, int segment, uint64_t share) {
  const auto weight = [&](int id) { return id < row.size() ? kept(id, row.Load(id)) : 0; };
  const int group = segment * kSegment + LaneIndex() * kWarpLanes;
  uint64_t sum = 0;
  for (int i = 0; i < kWarpLanes; ++i) sum += weight(group + i);
  const int first = segment * kSegment + PassingLane(sum, share) * kWarpLanes;
  return first + PassingLane(weight(first + LaneIndex()), share);
}

// Of the elements kept, each with its weight; the token is there in the threads of the first warp.
QUIRE_DEVICE int DrawKept(const LogitRow& row, const Kept& kept, uint64_t random_bits,
                          Shared<uint64_t> segment_sums, const SelectMemory& memory) {
  const int segments = NumSegments(row.size());
  for (int segment = WarpIndex(); segment < segments; segment += BlockWarps()) {
    const uint64_t sum = SegmentSum(row, kept, segment);
    if (LaneIndex() == 0) segment_sums.Store(segment, sum);
  }
  BlockBarrier();
  const uint64_t own = ThreadIndex() < segments ? segment_sums.Load(ThreadIndex()) : 0;
  const PrefixSum<uint64_t> sum = BlockPrefixSum(own, memory.scratch);
  const uint64_t share = ShareOf(sum.total, random_bits);
  if (sum.before <= share && share < sum.before + own) {
    memory.found.Store(0, ThreadIndex());
    memory.found.Store(1, share - sum.before);
  }
  BlockBarrier();
  if (WarpIndex() != 0) return -1;
  return DrawInSegment(row, kept, static_cast<int>(memory.found.Load(0)), memory.found.Load(1));
}

// The token in the threads of the first warp.
QUIRE_DEVICE int DrawToken(const LogitRow& row, const DrawRow& how, ElementOrder order,
                           Shared<uint64_t> segment_sums, const SelectMemory& memory) {
  const uint64_t first = FirstElement(row, order, memory.scratch);
  if (!IsFiniteRank(order.Rank(first))) return -1;
  if (how.scale == 0.0F) return order.Id(first);
  RowSelect select(row, order, first, how.scale, memory);
  uint64_t cut = order.Last(kRankOfNan);
  if (how.top_k > 0) cut = select.CutAtCount(how.top_k, cut, /*weightless=*/false);
  if (how.top_p < 1.0F) cut = select.CutAtShare(how.top_p, cut);
  return DrawKept(row, {order, select.weighing(), cut, how.min_weight}, how.random_bits,
                  segment_sums, memory);
}

QUIRE_KERNEL(kMaxBlockThreads, 1)
void DrawKernel(DrawParams p) {
  SharedMemory shared;
  const SelectMemory memory = SelectMemory::Take(shared);
  const Shared<uint64_t> segment_sums = shared.Take<uint64_t>(NumSegments(p.size));
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const DrawRow how = LoadRecord(p.rows, BlockX());
  const LogitRow row(how.is_edited != 0 ? p.edited + how.row * p.edited_stride
                                        : p.logits + how.row * p.logits_stride,
                     p.size);
  const int token = DrawToken(row, how, ElementOrder(p.id_bits), segment_sums, memory);
  if (ThreadIndex() == 0) p.tokens.Store(BlockX(), token);
}

// args.rows.size of them; 0 < V <= kMaxSampledVocabulary.
template <typename Launcher>
void LaunchDraw(Launcher& launcher, const DrawArgs& args) {
  const int64_t vocab_size = args.logits.cols;
  const int threads = SampleThreads(vocab_size);
  const DrawParams params{
      .size = static_cast<int>(vocab_size),
      .id_bits = IdBits(vocab_size),
      .logits = Global<const float>(static_cast<const float*>(args.logits.data)),
      .logits_stride = args.logits.row_stride,
      .edited = Global<const float>(static_cast<const float*>(args.edited.data)),
      .edited_stride = args.edited.row_stride,
      .rows = Global<const DrawRow>(args.rows.data),
      .tokens = Global<int32_t>(args.tokens),
  };
  launcher.Launch({.name = "draw",
                   .grid = {.x = args.rows.size},
                   .threads = threads,
                   .shared_bytes = SelectMemory::Bytes(threads) +
                                   SharedBytes<uint64_t>(NumSegments(params.size)),
                   .overlaps_earlier = true},
                  &DrawKernel, params);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_DRAW_CUH_
