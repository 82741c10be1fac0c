// The calls of attention.h and mla.h as arguments of kernels.
#ifndef QUIRE_ATTENTION_CUDA_MAKE_ROPE_ARGS_H_
#define QUIRE_ATTENTION_CUDA_MAKE_ROPE_ARGS_H_

#include <cstdint>

#include "attention/attention.h"
#include "attention/cuda/rope_args.h"
#include "attention/mla.h"

namespace quire {

inline RopeArgs MakeRopeArgs(const RopeTable& rope) {
  return {rope.cos, rope.sin, rope.num_rows, rope.rotary_dim, rope.interleaved};
}

inline HeadNorm ToHeadNorm(QkNorm norm) {
  switch (norm) {
    case QkNorm::kNone:
      return HeadNorm::kNone;
    case QkNorm::kPerHead:
      return HeadNorm::kRms;
    case QkNorm::kFullWidth:
      return HeadNorm::kRmsFullWidth;
    case QkNorm::kPerHeadLayerNorm:
      return HeadNorm::kLayer;
  }
  return HeadNorm::kNone;
}

// Of Attention::NormRope.
inline NormRopeArgs MakeNormRopeArgs(const NormRopeWriteParams& params,
                                     DeviceArray<const int32_t> rope_rows) {
  const GqaShape& shape = params.shape;
  const bool weights_per_head = params.weights_per_head || params.qk_norm == QkNorm::kFullWidth;
  NormRopeArgs args;
  args.qkv = params.qkv;
  args.num_heads = shape.num_heads;
  args.num_kv_heads = shape.num_kv_heads;
  args.head_dim = shape.head_dim;
  args.value_dim = shape.value_dim;
  args.norm = {ToHeadNorm(params.qk_norm), params.q_norm, params.k_norm,
               weights_per_head ? shape.head_dim : 0, params.norm_eps};
  args.rope = MakeRopeArgs(params.rope);
  args.rope_rows = rope_rows;
  return args;
}

// Of Attention::NormRopeWrite.
inline NormRopeArgs MakeNormRopeWriteArgs(const NormRopeWriteParams& params,
                                          const AttentionBatch& batch) {
  NormRopeArgs args = MakeNormRopeArgs(params, batch.rope_rows);
  args.q2 = params.q2;
  args.rope_rows2 = batch.rope_rows2;
  args.slots = batch.slots;
  args.kv = params.kv;
  return args;
}

// Of Mla::NormRopeWrite.
inline MlaNormRopeArgs MakeMlaNormRopeArgs(const MlaNormRopeWriteParams& params,
                                           const AttentionBatch& batch) {
  const MlaShape& shape = params.shape;
  MlaNormRopeArgs args;
  args.latent = params.latent;
  args.q = params.q;
  args.num_heads = shape.num_heads;
  args.head_dim = shape.head_dim();
  args.rope_begin = shape.rope_begin();
  args.latent_dim = shape.latent_dim;
  args.key_ropes = shape.rope_per_head ? shape.num_heads : 1;
  args.latent_norm = params.latent_norm;
  args.norm_eps = params.norm_eps;
  args.rope = MakeRopeArgs(params.rope);
  args.rope_rows = batch.rope_rows;
  args.slots = batch.slots;
  args.kv = params.kv;
  return args;
}

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_MAKE_ROPE_ARGS_H_
