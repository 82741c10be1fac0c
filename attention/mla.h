// The contract of multi-head latent attention (MLA; DeepSeek-AI, "DeepSeek-V2", 2024) over the
// paged cache. A backend (attention/cpu) implements it; attention/reference is the oracle.
//
// Letters: T tokens in the batch, H heads, R latent rank, Dn head dim without rotation, Dr rotated
// head dim, D = Dn + Dr head dim of queries and keys, Dv of values, B block_tokens.
//
// A token's cache row is [c | k_r]: the latent c [R], after its norm, and the rotated part of its
// key. The pages are those of a cache with one head of R + Dr dims and no values (kv_layout.h). A
// head's key is [c W_UK | k_r], its value c W_UV. Two ways to the same attention:
//
//   absorbed     q_lat = q_n W_UK^T; scores q_lat . c + q_r . k_r; o_lat = softmax c; o = o_lat
//   W_UV.
//                Reads R + Dr numbers a key and multiplies 2 R + Dr: for generated rows.
//   un-absorbed  keys and values are projected up from the cache, D + Dv numbers a head and key,
//   and
//                serve all rows of a chunk: for prompt rows.
//
// The products with W_UK and W_UV are the caller's. The forms differ in rounding, so which one a
// row takes must not depend on the batch: generated rows are absorbed, prompt rows never.
//
// Batches, and the law that a row's bits depend on its query and on what it sees alone, are those
// of attention.h. Every row sees all positions [0, p].
#ifndef QUIRE_ATTENTION_MLA_H_
#define QUIRE_ATTENTION_MLA_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "attention/attention.h"
#include "attention/mla_shape.h"
#include "core/device_memory.h"
#include "core/dtype.h"
#include "kvcache/kv_layout.h"

namespace quire {

// The fused norm + RoPE + cache write, from the rows of the down-projection.
struct MlaNormRopeWriteParams {
  DeviceMatrix latent;  // act or fp32 [T, cache_dim]: c_kv, k_r, before norm, rotation
  DeviceMatrix q;       // act [T, H D], before rotation
  MlaShape shape;       //
  const float* latent_norm = nullptr;  // [R] RMS norm weight of c_kv, or null: no norm
  float norm_eps = 1e-6F;              //
  RopeTable rope;                      // rotary_dim = Dr
  PagedKvView kv;
};

struct MlaAbsorbedParams {
  DeviceMatrix q_latent;  // act or fp32 [N, H R]
  DeviceMatrix q;         // act [N, H D], after NormRopeWrite: its rotated dims are read
  DeviceMatrix out;       // act [N, H R]: o_lat
  int64_t first_row = 0;  // of the batch
  MlaShape shape;         //
  float scale = 1.0F;     // of the scores
  PagedKvView kv;
};

// kv = latent [W_UK | W_UV]: act [n, R] -> act [n, expanded_width].
using MlaExpand = absl::FunctionRef<void(const DeviceMatrix& latent, const DeviceMatrix& kv)>;

struct MlaPrefillParams {
  DeviceMatrix q;         // act [T, H D], after NormRopeWrite; act is the cache's type
  DeviceMatrix out;       // act [T, H Dv]
  int64_t first_row = 0;  // where an entry begins; rows before it are left alone
  MlaShape shape;         //
  float scale = 1.0F;     //
  PagedKvView kv;
};

// What the memory of the calls is made for. Another shape or more rows are CHECKed.
struct MlaLimits {
  MlaShape shape;
  int64_t max_rows = 0;     // T of a batch
  int64_t max_context = 0;  // tokens of a sequence
  DType cache_dtype = DType::kBFloat16;
};

class Mla {
 public:
  virtual ~Mla() = default;

  // As Attention::BeginBatch.
  virtual void BeginBatch() {}

  // Normalises c_kv, rotates the key's part and writes both to the rows' slots; rotates the queries
  // in place. Arithmetic in fp32, rounded once.
  virtual void NormRopeWrite(const MlaNormRopeWriteParams& params, const AttentionBatch& batch) = 0;

  // Rows [first_row, first_row + N) of the batch in the absorbed form. Every key that a row sees
  // has been written; nothing else of the cache is read into a result.
  virtual void Absorbed(const MlaAbsorbedParams& params, const AttentionBatch& batch) = 0;

  // Rows [first_row, T) in the un-absorbed form. Every key is read back from the cache, the rows'
  // own too, and given to `expand` in pieces of bounded size, many calls in all; a row of its
  // result may depend on that row's latent only.
  virtual void Prefill(const MlaPrefillParams& params, const AttentionBatch& batch,
                       MlaExpand expand) = 0;
};

}  // namespace quire

#endif  // QUIRE_ATTENTION_MLA_H_
