// What CPU attention computes, compiled once per instruction set: plain functions over plain
// pointers, reached through a table. See core/cpu/simd/vec.h for the rules of such files, and
// kvcache/kv_layout.h for the pages.
//
// Letters: H query heads, Hkv key/value heads, G = H / Hkv, D head dim, B block_tokens, P elements
// in 4 bytes of the cache's type. Strides in elements but where the name says bytes.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_ATTENTION_KERNELS_H_
#define QUIRE_ATTENTION_CPU_KERNELS_ATTENTION_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "core/cpu/simd/element_type.h"

namespace quire {

// The keys are walked in tiles and splits that begin at absolute multiples of these, so that what
// is added to what never depends on a chunk, a batch or a thread.
inline constexpr int64_t kTileTokens = 128;
inline constexpr int64_t kSplitTokens = 512;

// Rows of an item: queries times heads that share their keys.
inline constexpr int64_t kItemRows = 48;

// The pages of one sequence and one key/value head.
struct KvHead {
  const char* keys;    // of this head in page 0 of the layer: [D / P][B][P]
  const char* values;  // likewise: [B / P][D][P]
  int64_t page_stride_bytes;
  int64_t block_tokens;   // B: 16, 32 or 64
  const int32_t* blocks;  // page of position p: blocks[p / B - first_block]
  int64_t first_block;
  ElementType type;
};

// Some consecutive queries of one sequence times some heads of one group: row i * heads + h is head
// h of query i, and sees positions [max(0, p - window + 1), p], p = first_position + i.
struct GqaItem {
  const void* q;  // [queries, heads, D]: heads side by side, queries q_stride apart
  int64_t q_stride;
  void* out;  // as q
  int64_t out_stride;
  ElementType type;  // of q and out
  int64_t queries;
  int64_t heads;           // queries * heads <= kItemRows
  int64_t first_position;  // of the first query
  int64_t window;          // 0: none
  int64_t head_dim;
  float scale;
  KvHead kv;
  float* scratch;  // gqa_scratch_numbers
};

// The state of some rows after one split: O [rows, D], m [rows], l [rows]; the result is O / l once
// all splits are merged, and 2^m the scale that O and l are divided by.
inline constexpr int64_t PartialNumbers(int64_t rows, int64_t head_dim) {
  return rows * (head_dim + 2);
}

struct RopeArgs {
  const float* cos;  // [rows, rotary_dim / 2]
  const float* sin;
  int64_t rotary_dim;
};

struct NormRopeWriteArgs {
  void* qkv;  // [tokens, (H + 2 Hkv) D]
  int64_t qkv_stride;
  ElementType type;
  int64_t tokens;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  const float* q_norm;  // [D] or null
  const float* k_norm;  // [D] or null
  float norm_eps;
  RopeArgs rope;
  const int32_t* rope_rows;  // [tokens]
  const int64_t* slots;      // [tokens]
  char* pages;
  int64_t page_stride_bytes;
  int64_t block_tokens;
  ElementType cache_type;
  float* scratch;  // [D]
};

struct AttentionKernels {
  int64_t (*gqa_scratch_numbers)(int64_t head_dim);
  // out = softmax(scale q k^T) v.
  void (*gqa)(const GqaItem&);
  // The state after split number `split` alone.
  void (*gqa_split)(const GqaItem&, int64_t split, float* partial);
  // out from the states of consecutive splits, [splits] of PartialNumbers; the first is
  // overwritten.
  void (*gqa_merge)(const GqaItem&, int64_t splits, float* partials);
  void (*norm_rope_write)(const NormRopeWriteArgs&);
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_CPU_KERNELS_ATTENTION_KERNELS_H_
