// What CPU attention computes, compiled once per instruction set: plain functions over plain
// pointers, reached through a table. See core/cpu/simd/vec.h for the rules of such files, and
// kvcache/kv_layout.h for the pages.
//
// Letters: H query heads, Hkv key/value heads, G = H / Hkv, D head dim of queries and keys, Dv of
// values, B block_tokens, P elements in 4 bytes of the cache's type. Strides in elements but where
// the name says bytes.
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

// As many keys as there are: of GqaItem's before and after.
inline constexpr int64_t kAllKeys = int64_t{1} << 40;

// The split number of an item's prefix.
inline constexpr int64_t kPrefixSplit = -1;

// The pages of one sequence and one key/value head.
struct KvHead {
  const char* keys;    // of this head in page 0 of the layer: [D / P][B][P]
  const char* values;  // likewise: [B / P][Dv][P]
  int64_t page_stride_bytes;
  int64_t block_tokens;   // B: 16, 32 or 64
  const int32_t* blocks;  // page of position p: blocks[p / B - first_block]
  int64_t first_block;
  ElementType type;
};

// ScoreRules (attention.h) of an item's heads and rows.
struct ScoreKeysArgs {
  float softcap = 0.0F;                 // 0: none
  const float* alibi_slopes = nullptr;  // [heads] or null
  const float* bias = nullptr;          // of the first head and query at position 0, or null
  int64_t bias_head_stride = 0;
  int64_t bias_row_stride = 0;
  const float* sink_logits = nullptr;  // [heads] or null

  bool change_scores() const { return softcap > 0 || alibi_slopes != nullptr || bias != nullptr; }
};

// KvPrefix (attention.h): positions [0, tokens) of its own blocks.
struct PrefixArgs {
  int64_t tokens = 0;  // 0: none
  bool shared = false;
  const int32_t* blocks = nullptr;  // page of position p: blocks[p / B]
  const void* q2 = nullptr;         // as GqaItem::q, or null: q
  int64_t q2_stride = 0;
};

// Some consecutive queries of one sequence times some heads of one group: row i * heads + h is head
// h of query i at position p = first_position + i, and sees positions [p - before, p + after] of
// [first, kv_len), where first is the length of a prefix of its own sequence, else 0.
struct GqaItem {
  const void* q;  // [queries, heads, D]: heads side by side, queries q_stride apart
  int64_t q_stride;
  void* out;  // [queries, heads, Dv]
  int64_t out_stride;
  ElementType type;  // of q and out
  int64_t queries;
  int64_t heads;           // queries * heads <= kItemRows
  int64_t first_position;  // of the first query
  int64_t before = kAllKeys;
  int64_t after = 0;
  int64_t kv_len;
  int64_t head_dim;
  int64_t value_dim;
  float scale;
  ScoreKeysArgs scores;
  PrefixArgs prefix;
  KvHead kv;
  float* scratch;  // gqa_scratch_numbers
};

// The state of some rows after one split: O [rows, Dv], m [rows], l [rows]; the result is O / l
// once all splits are merged, and 2^m the scale that O and l are divided by.
inline constexpr int64_t PartialNumbers(int64_t rows, int64_t value_dim) {
  return rows * (value_dim + 2);
}

struct RopeRowsArgs {
  const float* cos;  // [rows, rotary_dim / 2]
  const float* sin;
  int64_t rotary_dim;
  bool interleaved;
};

enum class HeadNormKind : uint8_t { kNone, kRmsPerHead, kRmsFullWidth, kLayerPerHead };

// The norm of some heads side by side.
struct HeadNorm {
  HeadNormKind kind = HeadNormKind::kNone;
  const float* weight = nullptr;  // of the first head, or null: 1
  int64_t weight_stride = 0;      // from head to head: 0 or D
  float eps = 0.0F;
};

// Where one token's key and value of each head go: pages as KvHead's, all heads of one page.
struct KvPages {
  char* base = nullptr;
  int64_t page_stride_bytes = 0;
  int64_t block_tokens = 0;
  ElementType type = ElementType::kFloat32;
};

struct NormRopeWriteArgs {
  void* qkv;  // [tokens, H D + Hkv D + Hkv Dv]
  int64_t qkv_stride;
  void* q2;  // [tokens, H D] or null
  int64_t q2_stride;
  ElementType type;
  int64_t tokens;
  int64_t num_heads;
  int64_t num_kv_heads;
  int64_t head_dim;
  int64_t value_dim;
  HeadNorm q_norm;
  HeadNorm k_norm;
  RopeRowsArgs rope;
  const int32_t* rope_rows;   // [tokens]
  const int32_t* rope_rows2;  // [tokens], where q2 is set
  const int64_t* slots;       // [tokens], or null: keys stay in the row
  KvPages pages;
  float* scratch;  // [2 D]
};

// Keys and values of some rows as they are, into the pages of slots first_slot, first_slot + 1, ...
struct WriteKvArgs {
  const void* kv;  // [tokens, Hkv D + Hkv Dv]
  int64_t kv_stride;
  ElementType type;
  int64_t tokens;
  int64_t num_kv_heads;
  int64_t head_dim;
  int64_t value_dim;
  int64_t first_slot;
  KvPages pages;
  float* scratch;  // [D]
};

struct AttentionKernels {
  int64_t (*gqa_scratch_numbers)(int64_t head_dim, int64_t value_dim);
  // out = softmax(scale q k^T) v.
  void (*gqa)(const GqaItem&);
  // The state after split number `split`, or the prefix, alone.
  void (*gqa_split)(const GqaItem&, int64_t split, float* partial);
  // Merges the states of consecutive splits, [splits] of PartialNumbers, into `total`, that of the
  // prefix, where there is one, or of the splits before; and out from it.
  void (*gqa_merge)(const GqaItem&, float* total, int64_t splits, const float* partials);
  void (*norm_rope_write)(const NormRopeWriteArgs&);
  void (*write_kv)(const WriteKvArgs&);
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_CPU_KERNELS_ATTENTION_KERNELS_H_
