// Attention of any types and dims: one warp owns a row and a query head, 32 keys at a time, with
// products in fp32. For fp32 models and heads beyond those of gqa_prefill.cuh; bound by latency.
#ifndef QUIRE_ATTENTION_CUDA_GQA_ROWS_CUH_
#define QUIRE_ATTENTION_CUDA_GQA_ROWS_CUH_

#include <cstdint>

#include "attention/cuda/gqa_args.h"
#include "attention/cuda/paged_keys.cuh"
#include "attention/cuda/row_keys.cuh"
#include "attention/cuda/row_ranges.cuh"
#include "attention/cuda/score_rules.cuh"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kRowsKernelWarps = 4;  // of a block, each for itself

// What a warp does to its row.
class RowWarp {
 public:
  QUIRE_DEVICE RowWarp(SharedMemory& memory, int head_dim, int value_dim)
      : head_dim_(head_dim),
        value_dim_(value_dim),
        q_(memory.Take<float>(kRowsKernelWarps * head_dim) + WarpIndex() * head_dim),
        sums_(memory.Take<float>(kRowsKernelWarps * value_dim) + WarpIndex() * value_dim),
        weights_(memory.Take<float>(kRowsKernelWarps * kWarpLanes) + WarpIndex() * kWarpLanes),
        begins_(memory.Take<int64_t>(kRowsKernelWarps * kWarpLanes) + WarpIndex() * kWarpLanes) {
    for (int d = LaneIndex(); d < value_dim; d += kWarpLanes) sums_.Store(d, 0.0F);
  }
  static size_t Bytes(int head_dim, int value_dim) {
    return SharedBytes<float>(kRowsKernelWarps * head_dim) +
           SharedBytes<float>(kRowsKernelWarps * value_dim) +
           SharedBytes<float>(kRowsKernelWarps * kWarpLanes) +
           SharedBytes<int64_t>(kRowsKernelWarps * kWarpLanes);
  }

  template <typename Act>
  QUIRE_DEVICE void LoadQuery(Global<const Act> q) {
    WarpBarrier();
    for (int d = LaneIndex(); d < head_dim_; d += kWarpLanes) q_.Store(d, ToFloat(q.Load(d)));
    WarpBarrier();
  }

  // Over what row `row` of the batch, at `position`, sees of `range`. `Keys` is a PagedHead or a
  // RowHead.
  template <typename Keys>
  QUIRE_DEVICE void Attend(const Keys& keys, const KeyRange& range, const PromptRules& rules,
                           int row, int position) {
    const KeySpan span = range.Of(position);
    if (span.IsEmpty()) return;
    for (int tile = span.begin / kWarpLanes * kWarpLanes; tile < span.end; tile += kWarpLanes) {
      const int token = tile + LaneIndex();
      float score = kUnseenScore;
      if (span.Holds(token)) {
        const int64_t begin = keys.KeyBegin(token);
        float x = 0.0F;
        for (int d = 0; d < head_dim_; ++d) x = Fma(q_.Load(d), keys.Key(begin, d), x);
        score = rules.Apply(x, row, token, range.Distance(position, token));
        begins_.Store(LaneIndex(), keys.ValueBegin(token));
      }
      const float factor = softmax_.Raise(WarpReduce(score, Maximum()));
      const float weight = FastExp2(score - softmax_.Offset());
      softmax_.sum = Fma(softmax_.sum, factor, WarpReduce(weight, Plus()));
      weights_.Store(LaneIndex(), weight);
      WarpBarrier();
      const int first = span.begin > tile ? span.begin - tile : 0;
      const int end = span.end - tile < kWarpLanes ? span.end - tile : kWarpLanes;
      for (int d = LaneIndex(); d < value_dim_; d += kWarpLanes) {
        float sum = sums_.Load(d) * factor;
        for (int j = first; j < end; ++j) {
          sum = Fma(weights_.Load(j), keys.Value(begins_.Load(j), d), sum);
        }
        sums_.Store(d, sum);
      }
      WarpBarrier();
    }
  }

  template <typename Act>
  QUIRE_DEVICE void Store(Global<Act> out, const PromptRules& rules) {
    const float factor = softmax_.Finish(rules.Sink());
    for (int d = LaneIndex(); d < value_dim_; d += kWarpLanes) {
      out.Store(d, Narrow<Act>(sums_.Load(d) * factor));
    }
  }

 private:
  int head_dim_;
  int value_dim_;
  Shared<float> q_;
  Shared<float> sums_;
  Shared<float> weights_;   // of the tile's tokens
  Shared<int64_t> begins_;  // of their values
  SoftmaxRow softmax_;
};

// The warp's row and head, among all of the grid: FindRowTile's of rows by one, `heads` each.
struct RowOfHead {
  int64_t index;
  int head;
};
QUIRE_DEVICE RowOfHead FindRowOfHead(int heads) {
  const int64_t task = BlockX() * kRowsKernelWarps + WarpIndex();
  return {task / heads, static_cast<int>(task % heads)};
}
inline LaunchShape RowsLaunchShape(const char* name, int64_t rows, const GqaShapeArgs& shape) {
  LaunchShape launch{.name = name, .overlaps_earlier = true};
  launch.grid.x = (rows * shape.num_heads + kRowsKernelWarps - 1) / kRowsKernelWarps;
  launch.threads = kRowsKernelWarps * kWarpLanes;
  launch.shared_bytes = RowWarp::Bytes(shape.head_dim, shape.value_dim);
  return launch;
}

// Where a batch's entries and their pages are.
struct PagedBatchParams {
  int64_t first_row;
  int num_entries;
  Global<const int32_t> query_start;
  Global<const int32_t> kv_len;
  Global<const int32_t> table_start;
  Global<const int32_t> first_block;
  Global<const int32_t> blocks;
  Global<const int32_t> prefix_start;  // null where shared
  Global<const int32_t> prefix_blocks;
  PagedRangeParams ranges;

  // The begin of an entry's pages of its prefix.
  QUIRE_DEVICE Global<const int32_t> PrefixOf(int entry) const {
    return prefix_start.is_null() ? prefix_blocks : prefix_blocks + prefix_start.Load(entry);
  }
  QUIRE_DEVICE Global<const int32_t> BlocksOf(int entry) const {
    return blocks + table_start.Load(entry);
  }
};

inline PagedBatchParams MakePagedBatchParams(const GqaPrefillArgs& args) {
  const bool own = args.prefix_tokens > 0 && !args.prefix_shared;
  return {
      .first_row = args.first_row,
      .num_entries = args.num_entries,
      .query_start = Global<const int32_t>(args.query_start),
      .kv_len = Global<const int32_t>(args.kv_len),
      .table_start = Global<const int32_t>(args.table_start),
      .first_block = Global<const int32_t>(args.first_block),
      .blocks = Global<const int32_t>(args.blocks),
      .prefix_start = Global<const int32_t>(own ? args.prefix_start : nullptr),
      .prefix_blocks = Global<const int32_t>(own ? args.prefix_blocks : args.shared_blocks),
      .ranges = {args.shape.window, args.prefix_tokens, args.prefix_shared},
  };
}

template <typename Act, typename Kv>
struct GqaRowsParams {
  RowMatrix<const Act> q;
  RowMatrix<const Act> q2;  // data null: q
  RowMatrix<Act> out;
  int num_heads;
  int group;  // G
  RuleParams rules;
  PageParams<Kv> pages;
  PagedBatchParams batch;
};

template <typename Act, typename Kv>
QUIRE_KERNEL(kRowsKernelWarps* kWarpLanes, 1)
void GqaRowsKernel(GqaRowsParams<Act, Kv> p) {
  const PagedBatchParams& batch = p.batch;
  SharedMemory memory;
  RowWarp warp(memory, p.pages.head_dim, p.pages.value_dim);
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const auto [index, head] = FindRowOfHead(p.num_heads);
  const RowTile tile = FindRowTile<1>(batch.query_start, batch.num_entries, batch.first_row,
                                      static_cast<int>(index));
  if (tile.rows == 0) return;  // the warp; there is no barrier of the block

  const int64_t row = tile.first_row;
  const int position = batch.kv_len.Load(tile.entry) - tile.entry_rows + tile.row_in_entry;
  const PromptRules rules(p.rules, head);
  const int64_t column = static_cast<int64_t>(head) * p.pages.head_dim;
  if (batch.ranges.prefix_tokens > 0) {
    const RowMatrix<const Act>& q = p.q2.data.is_null() ? p.q : p.q2;
    warp.LoadQuery(q.data + (row * q.stride + column));
    warp.Attend(PagedHead<Kv>(p.pages, head / p.group, batch.PrefixOf(tile.entry), 0),
                batch.ranges.Prefix(), rules, tile.first_row, position);
  }
  warp.LoadQuery(p.q.data + (row * p.q.stride + column));
  warp.Attend(PagedHead<Kv>(p.pages, head / p.group, batch.BlocksOf(tile.entry),
                            batch.first_block.Load(tile.entry)),
              batch.ranges.Window(), rules, tile.first_row, position);
  warp.Store(p.out.data + (row * p.out.stride + static_cast<int64_t>(head) * p.pages.value_dim),
             rules);
}

template <typename Act, typename Kv, typename Launcher>
void LaunchGqaRowsOf(Launcher& launcher, const GqaPrefillArgs& args) {
  const GqaShapeArgs& shape = args.shape;
  const GqaRowsParams<Act, Kv> params{
      .q = MakeRowMatrix<const Act>(args.qkv, shape.head_dim),
      .q2 = MakeRowMatrix<const Act>(args.q2, shape.head_dim),
      .out = MakeRowMatrix<Act>(args.out, shape.value_dim),
      .num_heads = shape.num_heads,
      .group = shape.num_heads / shape.num_kv_heads,
      .rules = MakeRuleParams(args.scores),
      .pages = MakePageParams<Kv>(args.pages, shape),
      .batch = MakePagedBatchParams(args),
  };
  launcher.Launch(RowsLaunchShape("gqa rows", args.qkv.rows - args.first_row, shape),
                  &GqaRowsKernel<Act, Kv>, params);
}

template <typename Launcher>
void LaunchGqaRows(Launcher& launcher, const GqaPrefillArgs& args) {
  const bool bf16_pages = args.pages.dtype == DType::kBFloat16;
  if (args.qkv.dtype == DType::kBFloat16) {
    bf16_pages ? LaunchGqaRowsOf<bf16, bf16>(launcher, args)
               : LaunchGqaRowsOf<bf16, float>(launcher, args);
  } else {
    bf16_pages ? LaunchGqaRowsOf<float, bf16>(launcher, args)
               : LaunchGqaRowsOf<float, float>(launcher, args);
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_GQA_ROWS_CUH_
