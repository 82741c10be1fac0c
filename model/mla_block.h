// Multi-head latent attention of one layer: the products around attention/mla.h.
//
// Letters: E hidden size, H heads, R latent rank, Rq query rank, Dn head dim without rotation, Dr
// rotated, D = Dn + Dr, Dv value dim, T rows of a batch.
#ifndef QUIRE_MODEL_MLA_BLOCK_H_
#define QUIRE_MODEL_MLA_BLOCK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attention/mla.h"
#include "core/device_memory.h"
#include "core/dtype.h"
#include "model/mla_config.h"
#include "ops/ops.h"

namespace quire {

// W_UK and W_UV, which are there twice: merged, for prompt rows, and per head, W_UK transposed, for
// generated rows: H (Dn + Dv) R numbers more a layer (DeepSeek-V2-Lite: 4 MiB in bf16, 113 MB in
// all, of 31 GB). Panels of another orientation cannot serve both.
struct MlaUpWeights {
  std::unique_ptr<Linear> merged;              // R -> H (Dn + Dv): each head's [k_n | v]
  std::vector<std::unique_ptr<Linear>> key;    // [H] Dn -> R: W_UK^T
  std::vector<std::unique_ptr<Linear>> value;  // [H] R -> Dv: W_UV
  std::unique_ptr<Linear> rope_key;            // R -> H Dr, where shape.rope_per_head
};

// From rows as checkpoints have them (kv_b_proj), in host memory and without bias: each head's Dn
// (D, its rotated dims first, where rope_per_head) rows of keys, then its Dv of values; [., R].
absl::StatusOr<MlaUpWeights> MakeMlaUpWeights(const MlaShape& shape, const WeightRows& rows,
                                              const std::string& name, DType act_dtype,
                                              WeightMaker& maker);

struct MlaWeights {
  // E -> [c_q (Rq) or q (H D) | c_kv (R) | k_r (Dr), unless rope_per_head].
  std::unique_ptr<Linear> down;
  Norm query_norm;                   // [Rq], where query_rank > 0
  std::unique_ptr<Linear> query_up;  // Rq -> H D, likewise
  DeviceVector latent_norm;          // [R], where latent_norm
  MlaUpWeights up;
  std::unique_ptr<Linear> output;  // H Dv -> E
};

// What one layer computes; all layers share one block, whose activations hold a step.
class MlaBlock {
 public:
  // `mla` is made for config.shape, a cache of act_dtype and max_rows. All borrowed parts outlive
  // the block.
  static absl::StatusOr<std::unique_ptr<MlaBlock>> Create(const MlaConfig& config, DType act_dtype,
                                                          int64_t max_rows, Ops& ops, Mla& mla,
                                                          DeviceMemory& memory);
  // Bytes that Create takes.
  static size_t ActivationBytes(const MlaConfig& config, DType act_dtype, int64_t max_rows);

  // For the layers' products of prompt rows, with `delta` of type delta_dtype: see Ops::Prepare.
  void Prepare(const MlaWeights& weights, DType delta_dtype);

  struct Batch {
    const AttentionBatch& rows;
    int64_t num_generated_rows = 0;  // rows [0, n), whole entries: the absorbed form
    RopeTable rope;
    PagedKvView kv;
  };
  // See Attention::BeginBatch.
  void BeginBatch() { mla_.BeginBatch(); }

  // delta = W_o attention(normed), and the rows' latents into the cache. normed act [T, E], delta
  // act or fp32 [T, E].
  void Forward(const MlaWeights& weights, const Batch& batch, const DeviceMatrix& normed,
               const DeviceMatrix& delta);

 private:
  // Rows [0, T) are in use, of the per-block ones [0, kGeneratedRows).
  struct Activations {
    DeviceMatrix down;      // fp32, or act where products read it [T, down width]
    DeviceMatrix query;     // act [T, Rq] c_q
    DeviceMatrix q;         // act [T, H D], where query_rank > 0
    DeviceMatrix attended;  // act [T, H Dv]
    DeviceMatrix q_latent;  // fp32 [kGeneratedRows, H R]
    DeviceMatrix o_latent;  // act [kGeneratedRows, H R]
  };

  MlaBlock(const MlaConfig& config, int64_t max_rows, Ops& ops, Mla& mla)
      : config_(config),
        max_rows_(max_rows),
        ops_(ops),
        mla_(mla),
        products_(config.shape.num_heads) {}

  static Activations Lay(const MlaConfig& config, DType act_dtype, int64_t max_rows, void* base,
                         size_t& bytes);
  // Queries of all heads, before rotation.
  DeviceMatrix Project(const MlaWeights& weights, const DeviceMatrix& normed, int64_t num_generated,
                       const DeviceMatrix& down);
  void AttendGenerated(const MlaWeights& weights, const Batch& batch, const DeviceMatrix& q,
                       int64_t first_row, int64_t rows);

  MlaConfig config_;
  int64_t max_rows_;
  Ops& ops_;
  Mla& mla_;
  DeviceBuffer buffer_;
  Activations act_;
  std::vector<Product> products_;  // [H]
};

}  // namespace quire

#endif  // QUIRE_MODEL_MLA_BLOCK_H_
