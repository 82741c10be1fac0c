// Attention of prompt rows over the paged cache, bf16 by bf16: one block owns kRows rows of an
// entry and one query head (FlashAttention-2; Dao 2023). Keys and values come in tiles of kTokens
// positions, at absolute multiples of it, each copied while the one before is worked on; so a row's
// bits do not depend on the rows around it. Bounded by the products for long sequences
// (prefill_warp.cuh).
#ifndef QUIRE_ATTENTION_CUDA_GQA_PREFILL_CUH_
#define QUIRE_ATTENTION_CUDA_GQA_PREFILL_CUH_

#include <cstdint>

#include "attention/cuda/gqa_args.h"
#include "attention/cuda/gqa_rows.cuh"
#include "attention/cuda/paged_keys.cuh"
#include "attention/cuda/prefill_warp.cuh"
#include "attention/cuda/row_keys.cuh"
#include "attention/cuda/row_ranges.cuh"
#include "attention/cuda/score_rules.cuh"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/async_copy.cuh"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// The block's two stages of tiles in shared memory.
template <typename Layout>
struct TileStages {
  Shared<uint32_t> keys;
  Shared<uint32_t> values;

  QUIRE_DEVICE explicit TileStages(SharedMemory& memory)
      : keys(memory.Take<uint32_t>(2 * Layout::kKeyWords)),
        values(memory.Take<uint32_t>(2 * Layout::kValueWords)) {}
  static constexpr size_t Bytes() {
    return SharedBytes<uint32_t>(2 * Layout::kKeyWords) +
           SharedBytes<uint32_t>(2 * Layout::kValueWords);
  }

  QUIRE_DEVICE Shared<uint32_t> Keys(int tile) const { return keys + tile % 2 * Layout::kKeyWords; }
  QUIRE_DEVICE Shared<uint32_t> Values(int tile) const {
    return values + tile % 2 * Layout::kValueWords;
  }
};

// The block's rows over what they see of `range`. All threads call it.
template <typename Config, typename Tiles, typename Warp>
QUIRE_DEVICE void AttendRange(const Tiles& tiles, const KeyRange& range, const PrefillRows& rows,
                              const TileStages<typename Tiles::Layout>& stages, Warp& warp) {
  constexpr int kTokens = Config::kTokens;
  const KeySpan seen = range.OfRows(rows.first_position, rows.first_position + rows.rows - 1);
  if (seen.IsEmpty()) return;
  const int first = seen.begin / kTokens, last = (seen.end - 1) / kTokens;
  QUIRE_NO_UNROLL
  for (int next = first; next <= last + 1; ++next) {
    WaitForCopies<0>();
    BlockBarrier();  // tile next - 1 is there, and all are done with the one before it
    if (next <= last) {
      tiles.Load(stages.Keys(next), stages.Values(next), next * kTokens, seen);
      CommitCopies();
    }
    const int tile = next - 1;
    if (tile >= first) {
      warp.Attend(stages.Keys(tile), stages.Values(tile), tile * kTokens, range);
    }
  }
}

struct GqaPrefillParams {
  RowMatrix<const bf16> q;
  RowMatrix<const bf16> q2;  // data null: q
  RowMatrix<bf16> out;
  int group;  // G
  RuleParams rules;
  PageParams<bf16> pages;
  PagedBatchParams batch;
};

template <typename Config, bool kRules>
QUIRE_KERNEL(Config::kThreads, 2)
void GqaPrefillKernel(GqaPrefillParams p) {
  using Tiles = PagedTiles<Config::kTokens, Config::kKeyDim, Config::kValueDim, Config::kThreads>;
  const PagedBatchParams& batch = p.batch;
  SharedMemory memory;
  const TileStages<typename Tiles::Layout> stages(memory);
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const RowTile tile =
      FindRowTile<Config::kRows>(batch.query_start, batch.num_entries, batch.first_row, BlockY());
  if (tile.rows == 0) return;  // all threads

  const int head = static_cast<int>(BlockX()), kv_head = head / p.group;
  const int head_dim = p.pages.head_dim, value_dim = p.pages.value_dim;
  const PrefillRows rows{
      .rows = tile.rows,
      .first_row = tile.first_row,
      .first_position = batch.kv_len.Load(tile.entry) - tile.entry_rows + tile.row_in_entry};
  PrefillWarp<Config, typename Tiles::Layout, kRules> warp(memory, p.rules, head, rows);
  const int64_t column = static_cast<int64_t>(head) * head_dim;
  QUIRE_NO_UNROLL
  for (int part = batch.ranges.prefix_tokens > 0 ? 0 : 1; part < 2; ++part) {
    const bool prefix = part == 0;
    warp.LoadQueries(prefix && !p.q2.data.is_null() ? p.q2 : p.q, column, head_dim);
    const Tiles tiles(p.pages, kv_head,
                      prefix ? batch.PrefixOf(tile.entry) : batch.BlocksOf(tile.entry),
                      prefix ? 0 : batch.first_block.Load(tile.entry));
    AttendRange<Config>(tiles, prefix ? batch.ranges.Prefix() : batch.ranges.Window(), rows, stages,
                        warp);
  }
  warp.Store(p.out, static_cast<int64_t>(head) * value_dim, value_dim);
}

// On the host: launch(config) with the smallest one that takes these dims; false where none does.
template <typename Launch>
bool WithPrefillConfig(int head_dim, int value_dim, Launch launch) {
  const auto fits = [&](int key, int value) { return head_dim <= key && value_dim <= value; };
  if (fits(64, 64)) {
    launch(PrefillConfig<64, 64, 64, 2>());
  } else if (fits(80, 96)) {
    launch(PrefillConfig<80, 96, 64, 1>());
  } else if (fits(96, 96)) {
    launch(PrefillConfig<96, 96, 64, 1>());
  } else if (fits(128, 128)) {
    launch(PrefillConfig<128, 128, 64, 1>());
  } else if (fits(192, 128)) {
    launch(PrefillConfig<192, 128, 32, 1>());
  } else if (fits(192, 192)) {
    launch(PrefillConfig<192, 192, 32, 1>());
  } else if (fits(256, 256)) {
    launch(PrefillConfig<256, 256, 32, 1>());
  } else {
    return false;
  }
  return true;
}

template <typename Config, typename Launcher>
void LaunchGqaPrefillOf(Launcher& launcher, const GqaPrefillArgs& args) {
  using Layout = PagedTileLayout<Config::kTokens, Config::kKeyDim, Config::kValueDim>;
  const GqaPrefillParams params{
      .q = MakeRowMatrix<const bf16>(args.qkv, args.shape.head_dim),
      .q2 = MakeRowMatrix<const bf16>(args.q2, args.shape.head_dim),
      .out = MakeRowMatrix<bf16>(args.out, args.shape.value_dim),
      .group = args.shape.num_heads / args.shape.num_kv_heads,
      .rules = MakeRuleParams(args.scores),
      .pages = MakePageParams<bf16>(args.pages, args.shape),
      .batch = MakePagedBatchParams(args),
  };
  LaunchShape shape{.name = "gqa prefill", .overlaps_earlier = true};
  shape.grid.x = args.shape.num_heads;
  shape.grid.y = NumRowTiles(args.qkv.rows - args.first_row, args.num_entries, Config::kRows);
  shape.threads = Config::kThreads;
  shape.shared_bytes = TileStages<Layout>::Bytes() + Config::SharedQueryBytes();
  static_assert(TileStages<Layout>::Bytes() + Config::SharedQueryBytes() <= kLeastSharedBytes);
  launcher.Launch(shape,
                  params.rules.ChangeScores() ? &GqaPrefillKernel<Config, true>
                                              : &GqaPrefillKernel<Config, false>,
                  params);
}

template <typename Launcher>
void LaunchGqaPrefill(Launcher& launcher, const GqaPrefillArgs& args) {
  const auto launch = [&]<typename Config>(Config) { LaunchGqaPrefillOf<Config>(launcher, args); };
  const bool pairs = args.qkv.dtype == DType::kBFloat16 && args.pages.dtype == DType::kBFloat16;
  if (!pairs || !WithPrefillConfig(args.shape.head_dim, args.shape.value_dim, launch)) {
    LaunchGqaRows(launcher, args);
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_GQA_PREFILL_CUH_
