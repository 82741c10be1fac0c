// What the host tells the kernels of mla.h. Pointers are device pointers; shapes are checked
// already (attention/mla_checks.h).
#ifndef QUIRE_ATTENTION_CUDA_MLA_ARGS_H_
#define QUIRE_ATTENTION_CUDA_MLA_ARGS_H_

#include <cstddef>
#include <cstdint>

#include "attention/cuda/decode_plan_args.h"
#include "attention/mla_shape.h"
#include "core/device_matrix.h"

namespace quire {

// The absorbed form sums the keys of splits that begin at absolute multiples of this by themselves,
// and adds the splits in their order.
inline constexpr int kMlaSplitTokens = 256;

// What is expanded at a time of an entry begins at an absolute multiple of this.
inline constexpr int kMlaPieceTokens = 64;
// Pieces of one launch.
inline constexpr int kMaxMlaPieces = 32;

// Dv of the un-absorbed form's kernels.
inline constexpr int kMlaMostValueDim = 256;

// The pages of cache rows (kvcache/kv_layout.h): one head of `dim` dims, no values.
struct MlaPages {
  const void* base = nullptr;  // aligned to 4 bytes, the stride too; to 16 they are read faster
  int64_t page_stride_bytes = 0;
  int block_tokens = 0;  // a multiple of 4
  DType dtype = DType::kBFloat16;
};

// Which sizes the absorbed form's kernels have room for.
inline constexpr int kMlaAbsorbedMostDims = 640;  // R + Dr
constexpr bool MlaAbsorbedTakes(const MlaShape& shape) {
  return shape.latent_dim <= 512 && shape.latent_dim + shape.rope_dim <= kMlaAbsorbedMostDims;
}

// Absorbed attention of rows [first_row, first_row + out.rows) of a batch.
struct MlaAbsorbedArgs {
  DeviceMatrix q_latent;  // fp32 or bf16 [N, H R]
  DeviceMatrix q;         // fp32 or bf16 [N, H D]
  DeviceMatrix out;       // fp32 or bf16 [N, H R]
  int64_t first_row = 0;
  MlaShape shape;
  float scale = 1.0F;  // > 0
  MlaPages pages;
  DeviceArray<const int32_t> query_start;  // [S + 1]
  DeviceArray<const int32_t> kv_len;       // [S]
  DeviceArray<const int32_t> table_start;  // [S + 1]
  DeviceArray<const int32_t> blocks;       // block ids
  // Whether blocks share a row's splits, which a kernel behind them adds, or one block does them
  // all. The bits are the same: many blocks serve few rows, or very long ones. Where the plan has
  // no room for all splits, one block does them.
  bool split_rows = false;
  DecodePlanArgs plan;         // of these rows by kMlaSplitTokens, made before, where split_rows
  int64_t max_blocks = 0;      // that take turns at splits; 0: one a split
  float* workspace = nullptr;  // of MlaAbsorbedWorkspaceBytes(plan.max_items)
};

constexpr int64_t MlaSplits(int64_t keys) { return (keys + kMlaSplitTokens - 1) / kMlaSplitTokens; }

// Of MlaAbsorbedArgs::workspace, where split_rows.
constexpr size_t MlaAbsorbedWorkspaceBytes(int64_t max_items, const MlaShape& shape) {
  return static_cast<size_t>(max_items * shape.num_heads * (shape.latent_dim + 2)) * sizeof(float);
}

// Keys of one entry that are expanded together, and which of its rows see them: all numbers that a
// block needs, so that it reads no lengths.
struct MlaPiece {
  int32_t first_key = 0;    // a position: a multiple of kMlaPieceTokens
  int32_t keys = 0;         // likewise, but where the piece is the entry's last
  int32_t kv_row = 0;       // of the latents and of what they are expanded to: the first key's
  int32_t first_query = 0;  // the entry's first row, of q and out
  int32_t queries = 0;      // its rows: consecutive positions that end at kv_len - 1
  int32_t kv_len = 0;
  int32_t table_start = 0;  // the entry's first block id, in MlaPieces' blocks
};

// A chunk: what one product expands. Its pieces are of several entries, or one after the other of
// an entry, but then the later ones go into a launch of their own (mla_chunks.h cuts them so).
struct MlaPieces {
  MlaPiece list[kMaxMlaPieces];
  int count = 0;
  int32_t rows = 0;  // of all
};

// latent[row] = the first latent.cols dims of the cache row of each key of the pieces.
struct MlaGatherArgs {
  MlaPieces pieces;
  MlaPages pages;
  DeviceArray<const int32_t> blocks;
  DeviceMatrix latent;  // of the cache's type [pieces.rows, R]; begins and strides at 4 bytes
};

// Un-absorbed attention of the pieces' rows over the pieces' keys. The rows' states go from piece
// to piece through `states`: an entry's pieces are launched in the order of their keys. A row's
// result is written with the piece that holds its last key.
struct MlaPrefillArgs {
  MlaPieces pieces;
  DeviceMatrix q;      // of the cache's type [T, H D]
  DeviceMatrix out;    // likewise [T, H Dv]
  MlaShape shape;      // value_dim at most kMlaMostValueDim
  float scale = 1.0F;  // > 0
  MlaPages pages;
  DeviceArray<const int32_t> blocks;
  DeviceMatrix kv;          // likewise [pieces.rows, H (Dn + Dv)]; begins and strides at 4 bytes
  float* states = nullptr;  // of MlaPrefillStateBytes; untouched where no entry has two pieces
};

constexpr size_t MlaPrefillStateBytes(int64_t rows, const MlaShape& shape) {
  return static_cast<size_t>(rows * shape.num_heads * (shape.value_dim + 2)) * sizeof(float);
}

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_MLA_ARGS_H_
