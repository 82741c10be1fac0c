// The contract of attention over the paged KV cache. A backend (attention/cpu, attention/cuda)
// implements it; attention/reference is the fp32 oracle.
//
// Letters: T tokens in the batch, S entries (a chunk of one sequence each), H query heads, Hkv
// key/value heads, G = H / Hkv, D head dim of queries and keys, Dv of values, B block_tokens.
//
// A batch is varlen: the rows of entry e are [query_start[e], query_start[e + 1]), consecutive
// positions of one sequence that end at kv_len[e] - 1. A row at position p sees the keys of
// positions [max(0, p - window + 1), p]; window 0 means all of [0, p]. Prefill chunks and decode
// tokens differ in length only.
//
// Law: a row's result depends on its query and on the keys and values that it sees, to the bit;
// never on the chunk it came in, on its neighbours or on the number of threads.
#ifndef QUIRE_ATTENTION_ATTENTION_H_
#define QUIRE_ATTENTION_ATTENTION_H_

#include <cstdint>
#include <utility>

#include "absl/types/span.h"
#include "core/device_memory.h"
#include "core/ids.h"
#include "kvcache/kv_layout.h"

namespace quire {

struct GqaShape {
  int num_heads = 0;     // H
  int num_kv_heads = 0;  // Hkv, divides H
  int head_dim = 0;      // D, even
  int value_dim = 0;     // Dv, even
  int window = 0;        // 0 = full attention

  int group() const { return num_heads / num_kv_heads; }
  int64_t qkv_width() const {
    return int64_t{num_heads + num_kv_heads} * head_dim + int64_t{num_kv_heads} * value_dim;
  }
  int64_t out_width() const { return int64_t{num_heads} * value_dim; }
};

// The rows of a batch, and where one KV group keeps their pages.
struct AttentionBatch {
  DeviceArray<const int32_t> query_start;  // [S + 1], first 0, last T
  DeviceArray<const int32_t> kv_len;       // [S], position of the entry's last row + 1
  DeviceArray<const int32_t> positions;    // [T]
  DeviceArray<const int32_t> rope_rows;    // [T], rows of the rotation tables
  DeviceArray<const int64_t> slots;        // [T], SlotId of each row: where its key and value go
  // Pages of entry e, in order of position: blocks[table_start[e] .. table_start[e + 1]). The first
  // of them holds positions from first_block[e] * B on: pages before it have left the window.
  DeviceArray<const int32_t> table_start;  // [S + 1]
  DeviceArray<const int32_t> first_block;  // [S]
  DeviceArray<const int32_t> blocks;       // [table_start[S]], BlockIds
};

// Rotation tables, fp32, computed in fp64. Which row holds a token's angles is the batch's say:
// rows need not be positions.
struct RopeTable {
  const float* cos = nullptr;  // [num_rows, rotary_dim / 2]
  const float* sin = nullptr;
  int64_t num_rows = 0;
  int rotary_dim = 0;  // even, <= D; dims from rotary_dim on pass through
};

// The fused QK-norm + RoPE + KV write, from the merged row and in one pass over it.
struct NormRopeWriteParams {
  DeviceMatrix qkv;               // act [T, H D + Hkv D + Hkv Dv]: queries, keys, values
  GqaShape shape;                 //
  const float* q_norm = nullptr;  // [D] RMS norm weight of each query head, or null: no norm
  const float* k_norm = nullptr;  // [D]
  float norm_eps = 1e-6F;         //
  RopeTable rope;                 // half-split: dim i turns with dim i + rotary_dim / 2
  PagedKvView kv;
};

struct GqaParams {
  DeviceMatrix qkv;    // as in NormRopeWrite, and after it: its first H D columns are q
  DeviceMatrix out;    // act [T, H Dv]
  GqaShape shape;      //
  float scale = 1.0F;  // of q k^T, commonly 1 / sqrt(D)
  PagedKvView kv;
};

class Attention {
 public:
  virtual ~Attention() = default;

  // Normalises and rotates q in place, normalises and rotates k and writes it, and writes v, to
  // the rows' slots. Arithmetic in fp32, rounded once.
  virtual void NormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) = 0;

  // out = softmax(scale q k^T) v for every row and head. Every key that a row sees has been
  // written. Nothing outside those keys is read into a result: it may be NaN or a wild block id.
  virtual void Gqa(const GqaParams& params, const AttentionBatch& batch) = 0;

  // dst <- src for each pair {src, dst} of pages of one layer (copy-on-write).
  virtual void CopyPages(const PagedKvView& kv,
                         absl::Span<const std::pair<BlockId, BlockId>> pages) = 0;
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_ATTENTION_H_
