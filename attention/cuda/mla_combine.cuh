// Absorbed latent attention's parameters, and the second of its kernels: where a row's splits had
// blocks of their own, one block owns a head of a row and adds them in order. It streams.
#ifndef QUIRE_ATTENTION_CUDA_MLA_COMBINE_CUH_
#define QUIRE_ATTENTION_CUDA_MLA_COMBINE_CUH_

#include <cstdint>

#include "attention/cuda/decode_plan.cuh"
#include "attention/cuda/mla_args.h"
#include "attention/cuda/mla_softmax.cuh"
#include "core/ceil_div.h"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/index.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kAbsorbedThreads = 256;
inline constexpr int kAbsorbedWarps = kAbsorbedThreads / kWarpLanes;
inline constexpr int kAbsorbedHeads = 16;  // of a block: the rows of its products
inline constexpr int kAbsorbedTile = 32;   // keys: a lane each
inline constexpr int kCombineThreads = 128;

// Where the rows of a batch stand.
struct AbsorbedBatch {
  int64_t first_row;
  int64_t entries;
  Global<const int32_t> query_start;
  Global<const int32_t> kv_len;
  Global<const int32_t> table_start;
  Global<const int32_t> blocks;
};

struct AbsorbedRow {
  int keys;  // that it sees: positions [0, keys)
  int table_start;
};

QUIRE_DEVICE AbsorbedRow FindAbsorbedRow(const AbsorbedBatch& batch, int64_t row) {
  const int64_t batch_row = batch.first_row + row;
  // The last entry that begins at or before it.
  int64_t entry = 0;
  for (int64_t end = batch.entries; end - entry > 1;) {
    const int64_t middle = (entry + end) / 2;
    if (batch.query_start.Load(middle) <= batch_row) {
      entry = middle;
    } else {
      end = middle;
    }
  }
  const int rows_after = static_cast<int>(batch.query_start.Load(entry + 1) - 1 - batch_row);
  return {batch.kv_len.Load(entry) - rows_after, batch.table_start.Load(entry)};
}

// What splits leave of rows that have several.
struct AbsorbedPartials {
  int heads;             //
  Global<float> sums;    // [max_items, H, R]
  Global<float> states;  // [max_items, H]: m, l

  QUIRE_DEVICE int64_t At(int64_t item, int head) const { return item * heads + head; }
};

struct AbsorbedParams {
  Numbers q_latent;
  Numbers q;
  Numbers out;
  MlaShape shape;
  int head_blocks;  // of a row
  float scale_log2;
  int64_t rows;
  bool split_rows;
  DecodePlan plan;  // where split_rows
  int stages = 2;   // tiles that a block has room for: 1 or 2
  PageWords pages;
  AbsorbedBatch batch;
  AbsorbedPartials partials;

  explicit AbsorbedParams(const MlaAbsorbedArgs& args)
      : q_latent(args.q_latent),
        q(args.q),
        out(args.out),
        shape(args.shape),
        head_blocks(static_cast<int>(CeilDiv(args.shape.num_heads, kAbsorbedHeads))),
        scale_log2(args.scale * kLog2OfE),
        rows(args.out.rows),
        split_rows(args.split_rows),
        plan(PlanOf(args.plan)),
        pages(args.pages),
        batch{args.first_row,
              args.kv_len.size,
              Global<const int32_t>(args.query_start.data),
              Global<const int32_t>(args.kv_len.data),
              Global<const int32_t>(args.table_start.data),
              Global<const int32_t>(args.blocks.data)} {
    const int64_t numbers = args.plan.max_items * shape.latent_width();
    partials = {shape.num_heads, Global<float>(args.workspace),
                Global<float>(args.workspace == nullptr ? nullptr : args.workspace + numbers)};
  }

  // Whether the splits of all rows are in the plan.
  QUIRE_DEVICE bool HasItems() const { return split_rows && plan.NumItems() <= plan.max_items; }
};

// Block (row, head).
template <int kThreads>
QUIRE_KERNEL(kThreads, 8)
void MlaCombineKernel(AbsorbedParams p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const int64_t row = BlockX();
  const int head = BlockY();
  const auto items = p.plan.Row(row);
  const int64_t first = items[0];
  const int splits = items[1];
  if (splits <= 1 || !p.HasItems()) return;  // its result is written
  const int width = p.shape.latent_dim;
  for (int dim = 2 * ThreadIndex(); dim < width; dim += 2 * kThreads) {
    SoftmaxState total{};
    Pack<float, 2> sums{};
    for (int split = 0; split < splits; ++split) {
      const int64_t at = p.partials.At(first + split, head);
      const auto state = p.partials.states.LoadPack<2>(2 * at);
      const auto x = p.partials.sums.LoadPack<2, Cache::kStream>(at * width + dim);
      if (split == 0) {
        total = {state[0], state[1]};
        sums = x;
        continue;
      }
      const MergeFactors f = AddSplit(total, {state[0], state[1]});
      QUIRE_UNROLL
      for (int i = 0; i < 2; ++i) sums[i] = Fma(x[i], f.split, sums[i] * f.total);
    }
    p.out.StorePair(row, int64_t{head} * width + dim, Normalised(sums[0], total.l),
                    Normalised(sums[1], total.l));
  }
}

template <typename Launcher>
void LaunchMlaCombine(Launcher& launcher, const AbsorbedParams& params, int64_t rows) {
  launcher.Launch(LaunchShape{.name = "mla_combine",
                              .grid = {.x = rows, .y = params.shape.num_heads},
                              .threads = kCombineThreads,
                              .overlaps_earlier = true},
                  &MlaCombineKernel<kCombineThreads>, params);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_MLA_COMBINE_CUH_
