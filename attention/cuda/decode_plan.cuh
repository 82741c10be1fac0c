// The plan of decode attention, latent or not: one block writes down the splits of all rows, in
// order of row and split. It is small: one thread a row, a few loads and 32 bytes a split.
#ifndef QUIRE_ATTENTION_CUDA_DECODE_PLAN_CUH_
#define QUIRE_ATTENTION_CUDA_DECODE_PLAN_CUH_

#include <cstdint>

#include "attention/cuda/decode_plan_args.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// One split of one row: the keys of positions [begin, end), all between two multiples of
// the plan's split_tokens.
struct DecodeItem {
  int row;
  bool in_prefix;  // positions of the prefix, through q2 and prefix_blocks
  int begin, end;  //
  int first_page;  // index into the table of the page that holds the split's first position
  int seen_from;   // for ALiBi: a key lies at position - seen_from from the row
  int num_splits;  // of the row
};

// Where a plan keeps what: items [max_items], rows [num_rows] of {first item, splits}, the number
// of items.
struct DecodePlan {
  Global<int32_t> data;
  int64_t max_items;
  int64_t num_rows;

  QUIRE_DEVICE int64_t RowAt(int64_t row) const { return max_items * kDecodeItemSize + row * 2; }
  QUIRE_DEVICE int64_t CountAt() const { return RowAt(num_rows); }

  QUIRE_DEVICE int NumItems() const { return data.Load(CountAt()); }
  QUIRE_DEVICE Pack<int32_t, 2> Row(int64_t row) const { return data.LoadPack<2>(RowAt(row)); }
  QUIRE_DEVICE DecodeItem Item(int64_t i) const {
    const auto low = data.LoadPack<4>(i * kDecodeItemSize);
    const auto high = data.LoadPack<4>(i * kDecodeItemSize + 4);
    return {low[0], low[1] != 0, low[2], low[3], high[0], high[1], high[2]};
  }
  QUIRE_DEVICE void SetItem(int64_t i, const DecodeItem& item) const {
    data.StorePack<4>(i * kDecodeItemSize,
                      {{item.row, item.in_prefix ? 1 : 0, item.begin, item.end}});
    data.StorePack<4>(i * kDecodeItemSize + 4,
                      {{item.first_page, item.seen_from, item.num_splits, 0}});
  }
};

struct DecodePlanParams {
  DecodePlan plan;
  bool may_be_more;
  int64_t first_row;
  int split_tokens;
  int window;
  int block_tokens;
  int prefix_tokens;
  bool prefix_shared;
  int num_entries;
  Global<const int32_t> query_start;
  Global<const int32_t> positions;
  Global<const int32_t> table_start;
  Global<const int32_t> first_block;
  Global<const int32_t> prefix_start;
};

inline constexpr int kDecodePlanThreads = 256;

// What one row sees: [0, prefix_end) of a prefix and [begin, end) of its sequence.
struct DecodeRowView {
  int position = 0;
  int entry = 0;
  int prefix_end = 0;
  int begin = 0, end = 0;

  QUIRE_DEVICE static DecodeRowView Of(const DecodePlanParams& p, int row) {
    DecodeRowView view;
    // The last entry that begins at or before the row: those before it with the same start are
    // empty.
    int low = 0, high = p.num_entries;
    while (high - low > 1) {
      const int middle = low + (high - low) / 2;
      (p.query_start.Load(middle) <= p.first_row + row ? low : high) = middle;
    }
    view.entry = low;
    view.position = p.positions.Load(p.first_row + row);
    view.end = view.position + 1;
    view.prefix_end = p.prefix_tokens;
    if (!p.prefix_shared) {
      if (view.prefix_end > view.end) view.prefix_end = view.end;
      view.begin = p.prefix_tokens;
    }
    if (p.window > 0 && view.end - p.window > view.begin) view.begin = view.end - p.window;
    return view;
  }

  QUIRE_DEVICE int PrefixSplits(int split_tokens) const {
    return (prefix_end + split_tokens - 1) / split_tokens;
  }
  QUIRE_DEVICE int NumSplits(int split_tokens) const {
    const int own = begin < end ? position / split_tokens - begin / split_tokens + 1 : 0;
    return PrefixSplits(split_tokens) + own;
  }

  // Split `i` of the row.
  QUIRE_DEVICE DecodeItem Split(const DecodePlanParams& p, int row, int i) const {
    const int prefix_splits = PrefixSplits(p.split_tokens);
    DecodeItem item{.row = row, .in_prefix = i < prefix_splits};
    const int split = item.in_prefix ? i : begin / p.split_tokens + i - prefix_splits;
    const int least = item.in_prefix ? 0 : begin, most = item.in_prefix ? prefix_end : end;
    const int split_begin = split * p.split_tokens;
    item.begin = split_begin > least ? split_begin : least;
    item.end = split_begin + p.split_tokens < most ? split_begin + p.split_tokens : most;
    item.first_page = split_begin / p.block_tokens;
    item.seen_from = position;
    item.num_splits = NumSplits(p.split_tokens);
    if (!item.in_prefix) {
      item.first_page += p.table_start.Load(entry) - p.first_block.Load(entry);
    } else if (p.prefix_shared) {
      item.seen_from = position + p.prefix_tokens;
    } else {
      item.first_page += p.prefix_start.Load(entry);
      const int own_end = p.prefix_tokens + p.window - 1;
      if (own_end < position) item.seen_from = own_end;
    }
    return item;
  }
};

// Of one block.
template <int kThreads>
QUIRE_KERNEL(kThreads, 1)
void DecodePlanKernel(DecodePlanParams p) {
  SharedMemory memory;
  const Shared<int> warp_sums = memory.Take<int>(kThreads / kWarpLanes);
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  int first = 0;  // item of the rows at hand
  for (int64_t base = 0; base < p.plan.num_rows; base += kThreads) {
    const int row = static_cast<int>(base) + ThreadIndex();
    DecodeRowView view;
    int splits = 0;
    if (row < p.plan.num_rows) {
      view = DecodeRowView::Of(p, row);
      splits = view.NumSplits(p.split_tokens);
    }
    int before = splits;  // and this row's, until the end
    for (int lanes = 1; lanes < kWarpLanes; lanes *= 2) {
      const int other = ShuffleUp(before, lanes);
      if (LaneIndex() >= lanes) before += other;
    }
    if (LaneIndex() == kWarpLanes - 1) warp_sums.Store(WarpIndex(), before);
    BlockBarrier();
    before += first - splits;
    for (int warp = 0; warp < BlockWarps(); ++warp) {
      const int sum = warp_sums.Load(warp);
      if (warp < WarpIndex()) before += sum;
      first += sum;
    }
    DeviceCheck(p.may_be_more || before + splits <= p.plan.max_items);
    if (row < p.plan.num_rows) {
      p.plan.data.StorePack<2>(p.plan.RowAt(row), {{before, splits}});
      for (int i = 0; i < splits && before + i < p.plan.max_items; ++i) {
        p.plan.SetItem(before + i, view.Split(p, row, i));
      }
    }
    BlockBarrier();
  }
  if (ThreadIndex() == 0) p.plan.data.Store(p.plan.CountAt(), first);
}

inline DecodePlan PlanOf(const DecodePlanArgs& args) {
  return {Global<int32_t>(args.plan), args.max_items, args.num_rows};
}

// args.num_rows of them; behind what writes the batch, before what reads the plan.
template <typename Launcher>
void LaunchDecodePlan(Launcher& launcher, const DecodePlanArgs& args) {
  if (args.num_rows == 0) return;
  const LaunchShape shape{.name = "decode_plan",
                          .threads = kDecodePlanThreads,
                          .shared_bytes = SharedBytes<int>(kDecodePlanThreads / kWarpLanes),
                          .overlaps_earlier = true};
  const DecodePlanParams params{
      .plan = PlanOf(args),
      .may_be_more = args.may_be_more,
      .first_row = args.first_row,
      .split_tokens = args.split_tokens,
      .window = args.window,
      .block_tokens = args.block_tokens,
      .prefix_tokens = args.prefix_tokens,
      .prefix_shared = args.prefix_shared,
      .num_entries = static_cast<int>(args.query_start.size) - 1,
      .query_start = Global<const int32_t>(args.query_start.data),
      .positions = Global<const int32_t>(args.positions.data),
      .table_start = Global<const int32_t>(args.table_start.data),
      .first_block = Global<const int32_t>(args.first_block.data),
      .prefix_start = Global<const int32_t>(args.prefix_start.data),
  };
  launcher.Launch(shape, &DecodePlanKernel<kDecodePlanThreads>, params);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_DECODE_PLAN_CUH_
