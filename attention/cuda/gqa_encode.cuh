// Attention among the rows of whole sequences, both ways (Encode): gqa_prefill.cuh with keys and
// values from the rows themselves, and gqa_rows.cuh likewise.
#ifndef QUIRE_ATTENTION_CUDA_GQA_ENCODE_CUH_
#define QUIRE_ATTENTION_CUDA_GQA_ENCODE_CUH_

#include <cstdint>

#include "attention/cuda/gqa_args.h"
#include "attention/cuda/gqa_prefill.cuh"
#include "attention/cuda/gqa_rows.cuh"
#include "attention/cuda/prefill_warp.cuh"
#include "attention/cuda/row_keys.cuh"
#include "attention/cuda/row_ranges.cuh"
#include "attention/cuda/score_rules.cuh"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

template <typename Act>
struct EncodeParams {
  RowMatrix<const Act> qkv;
  RowMatrix<Act> out;
  GqaShapeArgs shape;
  RuleParams rules;
  int num_sequences;
  Global<const int32_t> query_start;

  // Keys is made of one head of the sequence that begins at row `first_row`.
  template <typename Keys>
  QUIRE_DEVICE Keys KeysOf(int head, int first_row) const {
    const int kv_head = head / (shape.num_heads / shape.num_kv_heads);
    const int64_t keys = static_cast<int64_t>(shape.num_heads) * shape.head_dim;
    const int64_t values = keys + static_cast<int64_t>(shape.num_kv_heads) * shape.head_dim;
    return Keys(qkv, first_row, keys + static_cast<int64_t>(kv_head) * shape.head_dim,
                values + static_cast<int64_t>(kv_head) * shape.value_dim, shape.head_dim,
                shape.value_dim);
  }
};

template <typename Config>
QUIRE_KERNEL(Config::kThreads, 2)
void EncodeKernel(EncodeParams<bf16> p) {
  using Tiles = RowTiles<Config::kTokens, Config::kKeyDim, Config::kValueDim, Config::kThreads>;
  SharedMemory memory;
  const TileStages<typename Tiles::Layout> stages(memory);
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const RowTile tile = FindRowTile<Config::kRows>(p.query_start, p.num_sequences, 0, BlockY());
  if (tile.rows == 0) return;  // all threads

  const int head = static_cast<int>(BlockX());
  const PrefillRows rows{
      .rows = tile.rows, .first_row = tile.first_row, .first_position = tile.row_in_entry};
  PrefillWarp<Config, typename Tiles::Layout, true> warp(memory, p.rules, head, rows);
  warp.LoadQueries(p.qkv, static_cast<int64_t>(head) * p.shape.head_dim, p.shape.head_dim);
  AttendRange<Config>(p.template KeysOf<Tiles>(head, tile.first_row - tile.row_in_entry),
                      EncoderRange(p.shape.window, tile.entry_rows), rows, stages, warp);
  warp.Store(p.out, static_cast<int64_t>(head) * p.shape.value_dim, p.shape.value_dim);
}

template <typename Act>
QUIRE_KERNEL(kRowsKernelWarps* kWarpLanes, 1)
void EncodeRowsKernel(EncodeParams<Act> p) {
  SharedMemory memory;
  RowWarp warp(memory, p.shape.head_dim, p.shape.value_dim);
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const auto [index, head] = FindRowOfHead(p.shape.num_heads);
  const RowTile tile = FindRowTile<1>(p.query_start, p.num_sequences, 0, static_cast<int>(index));
  if (tile.rows == 0) return;  // the warp; there is no barrier of the block

  const int64_t row = tile.first_row;
  const PromptRules rules(p.rules, head);
  warp.LoadQuery(p.qkv.data + (row * p.qkv.stride + static_cast<int64_t>(head) * p.shape.head_dim));
  warp.Attend(p.template KeysOf<RowHead<Act> >(head, tile.first_row - tile.row_in_entry),
              EncoderRange(p.shape.window, tile.entry_rows), rules, tile.first_row,
              tile.row_in_entry);
  warp.Store(p.out.data + (row * p.out.stride + static_cast<int64_t>(head) * p.shape.value_dim),
             rules);
}

template <typename Act>
EncodeParams<Act> MakeEncodeParams(const EncodeArgs& args) {
  const GqaShapeArgs& shape = args.shape;
  EncodeParams<Act> params{
      .qkv = MakeRowMatrix<const Act>(args.qkv, shape.head_dim),
      .out = MakeRowMatrix<Act>(args.out, shape.value_dim),
      .shape = shape,
      .rules = MakeRuleParams(args.scores),
      .num_sequences = args.num_sequences,
      .query_start = Global<const int32_t>(args.query_start),
  };
  // Values begin heads too.
  params.qkv.chunks &= MakeRowMatrix<const Act>(args.qkv, shape.value_dim).chunks;
  return params;
}

template <typename Act, typename Launcher>
void LaunchEncodeRows(Launcher& launcher, const EncodeArgs& args) {
  launcher.Launch(RowsLaunchShape("encode rows", args.qkv.rows, args.shape), &EncodeRowsKernel<Act>,
                  MakeEncodeParams<Act>(args));
}

template <typename Config, typename Launcher>
void LaunchEncodeOf(Launcher& launcher, const EncodeArgs& args) {
  using Layout = RowTileLayout<Config::kTokens, Config::kKeyDim, Config::kValueDim>;
  LaunchShape shape{.name = "encode", .overlaps_earlier = true};
  shape.grid.x = args.shape.num_heads;
  shape.grid.y = NumRowTiles(args.qkv.rows, args.num_sequences, Config::kRows);
  shape.threads = Config::kThreads;
  shape.shared_bytes = TileStages<Layout>::Bytes() + Config::SharedQueryBytes();
  static_assert(TileStages<Layout>::Bytes() + Config::SharedQueryBytes() <= kLeastSharedBytes);
  launcher.Launch(shape, &EncodeKernel<Config>, MakeEncodeParams<bf16>(args));
}

template <typename Launcher>
void LaunchEncode(Launcher& launcher, const EncodeArgs& args) {
  const auto launch = [&]<typename Config>(Config) { LaunchEncodeOf<Config>(launcher, args); };
  if (args.qkv.dtype != DType::kBFloat16) {
    LaunchEncodeRows<float>(launcher, args);
  } else if (!WithPrefillConfig(args.shape.head_dim, args.shape.value_dim, launch)) {
    LaunchEncodeRows<bf16>(launcher, args);
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_GQA_ENCODE_CUH_
