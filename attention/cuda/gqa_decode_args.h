// What the host tells the kernels of decode attention (Attention::Gqa for generated rows): plain
// numbers and device pointers, checked already (attention/attention_checks.h).
//
// A layer runs the splits of a plan (decode_plan_args.h), of kGqaDecodeSplit positions, and
// combines them.
#ifndef QUIRE_ATTENTION_CUDA_GQA_DECODE_ARGS_H_
#define QUIRE_ATTENTION_CUDA_GQA_DECODE_ARGS_H_

#include <cstdint>

#include "attention/cuda/decode_plan_args.h"
#include "core/ceil_div.h"
#include "core/device_matrix.h"
#include "kvcache/kv_layout.h"

namespace quire {

// Positions of a split, which begins at a multiple of it: a row's splits follow from what it sees.
inline constexpr int kGqaDecodeSplit = 512;
// The widest head of keys or values, and what block_tokens is a multiple of.
inline constexpr int kGqaDecodeMostDim = 256;
inline constexpr int kGqaDecodeTile = 16;

// The most splits of a row in a sequence of `kv_len` tokens.
constexpr int64_t GqaDecodeMaxSplits(int64_t kv_len, int window, int prefix_tokens) {
  int64_t splits = CeilDiv(kv_len, int64_t{kGqaDecodeSplit});
  if (window > 0) {
    const int64_t touched = CeilDiv(int64_t{window} - 1, int64_t{kGqaDecodeSplit}) + 1;
    splits = splits < touched ? splits : touched;
  }
  return splits + CeilDiv(int64_t{prefix_tokens}, int64_t{kGqaDecodeSplit});
}

// Fp32 numbers that the splits' results take until they are combined.
constexpr int64_t GqaDecodeWorkspaceSize(int64_t max_items, int num_heads, int value_dim) {
  return max_items * num_heads * (CeilDiv(int64_t{value_dim}, int64_t{4}) * 4 + 2);
}

struct GqaDecodeArgs {
  DecodePlanArgs plan;  // made before, in the same order of work
  // Row 0 of the matrices, and of the bias, is the plan's first row.
  DeviceMatrix qkv;   // act [>= num_rows, >= H D]: queries from column 0 on
  DeviceMatrix q2;    // act, likewise, or its data is null: queries of a prefix
  DeviceMatrix out;   // act [>= num_rows, H Dv]
  int num_heads = 0;  // H
  float scale = 1.0F;
  PagedKvView kv;                            // D, Dv <= kGqaDecodeMostDim; aligned to 16 bytes
  DeviceArray<const int32_t> blocks;         // of the batch
  DeviceArray<const int32_t> prefix_blocks;  // of the batch, or of the layer where shared
  float softcap = 0.0F;                      // ScoreRules from here on
  const float* alibi_slopes = nullptr;       // [H]
  const float* bias = nullptr;               // not together with a prefix
  int64_t bias_head_stride = 0;
  int64_t bias_row_stride = 0;
  const float* sink_logits = nullptr;  // [H]
  float* workspace = nullptr;          // [GqaDecodeWorkspaceSize], aligned to 16 bytes
  // Blocks that work on splits, in turns: as many as the device holds at a time. 0: one a split.
  int64_t max_blocks = 0;
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_GQA_DECODE_ARGS_H_
