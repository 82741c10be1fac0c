// What the host tells the kernels of grouped-query attention (attention/attention.h). Pointers are
// device pointers; shapes are checked already (attention/attention_checks.h).
#ifndef QUIRE_ATTENTION_CUDA_GQA_ARGS_H_
#define QUIRE_ATTENTION_CUDA_GQA_ARGS_H_

#include <cstdint>

#include "core/device_matrix.h"

namespace quire {

// GqaShape.
struct GqaShapeArgs {
  int num_heads = 0;     // H
  int num_kv_heads = 0;  // Hkv, divides H
  int head_dim = 0;      // D, even
  int value_dim = 0;     // Dv, even
  int window = 0;        // 0: none
};

// ScoreRules.
struct ScoreRuleArgs {
  float scale = 1.0F;
  float softcap = 0.0F;                 // 0: none
  const float* alibi_slopes = nullptr;  // [H]
  const float* bias = nullptr;          // bias[h bias_head_stride + t bias_row_stride + j]
  int64_t bias_head_stride = 0;
  int64_t bias_row_stride = 0;
  const float* sink_logits = nullptr;  // [H]
};

// PagedKvView: page b begins at base + b * page_stride_bytes; both are multiples of 4. Within it
// numbers lie as kvcache/kv_layout.h says.
struct KvPageArgs {
  const void* base = nullptr;
  int64_t page_stride_bytes = 0;
  int block_tokens = 0;  // even
  DType dtype = DType::kBFloat16;
};

// Gqa of the rows [first_row, T), where first_row is the begin of an entry, or T.
struct GqaPrefillArgs {
  DeviceMatrix qkv;  // act [T, ..], of which the first H D columns are q
  DeviceMatrix out;  // act [T, H Dv]
  GqaShapeArgs shape;
  ScoreRuleArgs scores;
  KvPageArgs pages;
  int64_t first_row = 0;

  // AttentionBatch.
  int num_entries = 0;                   // S
  const int32_t* query_start = nullptr;  // [S + 1]
  const int32_t* kv_len = nullptr;       // [S]
  const int32_t* table_start = nullptr;  // [S + 1]
  const int32_t* first_block = nullptr;  // [S]
  const int32_t* blocks = nullptr;

  // KvPrefix.
  int prefix_tokens = 0;  // N
  bool prefix_shared = false;
  const int32_t* shared_blocks = nullptr;  // where shared: [ceil(N / B)]
  const int32_t* prefix_start = nullptr;   // where own: [S + 1]
  const int32_t* prefix_blocks = nullptr;
  DeviceMatrix q2;  // act [T, H D], or its data is null: q
};

// Encode.
struct EncodeArgs {
  DeviceMatrix qkv;  // act [T, H D + Hkv D + Hkv Dv]
  DeviceMatrix out;  // act [T, H Dv]
  GqaShapeArgs shape;
  ScoreRuleArgs scores;
  int num_sequences = 0;
  const int32_t* query_start = nullptr;  // [num_sequences + 1]
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_GQA_ARGS_H_
