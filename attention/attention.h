// The contract of attention over the paged KV cache. A backend (attention/cpu, attention/cuda)
// implements it; attention/reference is the fp32 oracle.
//
// Letters: T tokens in the batch, S entries (a chunk of one sequence each), H query heads, Hkv
// key/value heads, G = H / Hkv, D head dim of queries and keys, Dv of values, B block_tokens.
//
// A batch is varlen: the rows of entry e are [query_start[e], query_start[e + 1]), consecutive
// positions of one sequence that end at kv_len[e] - 1. A row at position p sees the keys of
// positions [max(0, p - window + 1), p]; window 0 means all of [0, p]. Prefill chunks and decode
// tokens differ in length only. A prefix (KvPrefix) lies in front of the window; encoders
// (EncoderParams) see both ways.
//
// Law: a row's result depends on its query and on the keys and values that it sees, to the bit;
// never on the chunk it came in, on its neighbours or on the number of threads.
#ifndef QUIRE_ATTENTION_ATTENTION_H_
#define QUIRE_ATTENTION_ATTENTION_H_

#include <cstdint>
#include <optional>
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

// How much the generated rows of a batch see at most.
struct KvExtent {
  int64_t longest = 0;  // kv_len of any entry
  int64_t keys = 0;     // kv_len of the entry of each generated row, all together
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
  // Only where a prefix is the sequence's own (KvPrefix): the pages of its first positions, for
  // min(N, kv_len) of them. The table above need not hold them.
  DeviceArray<const int32_t> prefix_start;   // [S + 1]
  DeviceArray<const int32_t> prefix_blocks;  // [prefix_start[S]], BlockIds
  DeviceArray<const int32_t> rope_rows2;     // [T], of q2
  // Bounds to go by instead of these arrays: work that is recorded with them serves every batch
  // within.
  std::optional<KvExtent> at_most;
  // The same where the host can read the arrays; null where it can read these.
  const AttentionBatch* on_host = nullptr;

  const AttentionBatch& host() const { return on_host == nullptr ? *this : *on_host; }
};

// Rotation tables, fp32, computed in fp64. Which row holds a token's angles is the batch's say:
// rows need not be positions.
struct RopeTable {
  const float* cos = nullptr;  // [num_rows, rotary_dim / 2]
  const float* sin = nullptr;
  int64_t num_rows = 0;
  int rotary_dim = 0;        // even, <= D; dims from rotary_dim on pass through; 0: no rotation
  bool interleaved = false;  // dim 2i turns with 2i + 1, else i with i + rotary_dim / 2
};

// How queries and keys are normalised before the rotation.
enum class QkNorm {
  kNone,
  kPerHead,           // RMS norm of each head
  kFullWidth,         // one RMS norm over all H D dims of the query, one over the Hkv D of the key
  kPerHeadLayerNorm,  // layer norm of each head, without bias
};

// The fused QK-norm + RoPE + KV write, from the merged row and in one pass over it.
struct NormRopeWriteParams {
  DeviceMatrix qkv;                // act [T, H D + Hkv D + Hkv Dv]: queries, keys, values
  GqaShape shape;                  //
  QkNorm qk_norm = QkNorm::kNone;  //
  const float* q_norm = nullptr;   // [D]; [H, D] at full width or where weights_per_head; null: 1
  const float* k_norm = nullptr;   // [D]; [Hkv, D] likewise
  bool weights_per_head = false;   // each head has norm weights of its own
  float norm_eps = 1e-6F;          //
  RopeTable rope;                  //
  PagedKvView kv;                  // not of NormRope
  DeviceMatrix q2;                 // act [T, H D] or unset: the queries rotated by rope_rows2
};

// A matrix that is added to the scores: data[h head_stride + t row_stride + j] for head h, row t of
// the batch and the key of position j. A head_stride of 0 shares it between heads. -infinity hides
// a key, whose value must be finite still.
struct AttentionBias {
  const float* data = nullptr;
  int64_t head_stride = 0;
  int64_t row_stride = 0;
};

// What becomes of the scores s = scale q k^T on their way into the softmax, in this order. Unset
// fields do nothing.
struct ScoreRules {
  float softcap = 0.0F;                 // c > 0: s = c tanh(s / c)
  const float* alibi_slopes = nullptr;  // [H]: s += slope (key position - query position)
  AttentionBias bias;                   // s += bias
  const float* sink_logits = nullptr;   // [H]: a further score of every row, without a value
};

// Keys that rows see in front of their windows.
//
// Of the row's own sequence (StreamingLLM; Xiao et al. 2023): its first N positions, in the pages
// batch.prefix_blocks. A row at p sees [0, min(N, p + 1)) through q2, where that is set, and
// [max(N, p - window + 1), p] through q. With q2 rotated at min(p, N + window - 1) keys stay
// rotated as they are stored, and rows before N + window have plain attention.
//
// Shared: N learned keys and values of the layer, in the pages `blocks`, seen by every row besides
// its window. For ALiBi they lie at positions -N .. -1.
struct KvPrefix {
  int tokens = 0;  // N; 0: none
  bool shared = false;
  DeviceArray<const int32_t> blocks;  // where shared: [ceil(N / B)] BlockIds
  DeviceMatrix q2;                    // act [T, H D] or unset: q
};

struct GqaParams {
  DeviceMatrix qkv;    // as in NormRopeWrite, and after it: its first H D columns are q
  DeviceMatrix out;    // act [T, H Dv]
  GqaShape shape;      //
  float scale = 1.0F;  // of q k^T, commonly 1 / sqrt(D)
  PagedKvView kv;      //
  ScoreRules scores;   //
  KvPrefix prefix;     // not together with a bias
  // Rows [0, num_generated) are at generated positions, the rest at prompt ones; the first of those
  // begins an entry. A backend may compute the two kinds by different kernels.
  int64_t num_generated = 0;
};

// Attention among the rows of each sequence itself, without a cache. A row at position p sees the
// keys of |p - k| <= shape.window / 2 (the local attention of ModernBERT), all where window is 0.
struct EncoderParams {
  DeviceMatrix qkv;  // after NormRope: rotated q and k, and v
  DeviceMatrix out;  // act [T, H Dv]
  GqaShape shape;
  float scale = 1.0F;
  ScoreRules scores;
};

class Attention {
 public:
  virtual ~Attention() = default;

  // The arrays of AttentionBatch are others from here on: what was derived from those before, once
  // for all layers, is derived anew.
  virtual void BeginBatch() {}

  // Normalises and rotates q in place, normalises and rotates k and writes it, and writes v, to
  // the rows' slots. Arithmetic in fp32, rounded once.
  virtual void NormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) = 0;

  // The same without the write, q and k in place; without q2.
  virtual void NormRope(const NormRopeWriteParams& params,
                        DeviceArray<const int32_t> rope_rows) = 0;

  // out = softmax(scale q k^T) v for every row and head. Every key that a row sees has been
  // written. Nothing outside those keys is read into a result: it may be NaN or a wild block id.
  virtual void Gqa(const GqaParams& params, const AttentionBatch& batch) = 0;

  // The same among the rows [query_start[s], query_start[s + 1]) of each sequence s, whose
  // positions count from 0.
  virtual void Encode(const EncoderParams& params,
                      DeviceArray<const int32_t> query_start) = 0;  // [S + 1], first 0, last T

  // dst <- src for each pair {src, dst} of pages of one layer (copy-on-write).
  virtual void CopyPages(const PagedKvView& kv,
                         absl::Span<const std::pair<BlockId, BlockId>> pages) = 0;
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_ATTENTION_H_
