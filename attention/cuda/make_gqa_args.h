// The calls of attention.h as arguments of the kernels of prompt rows and encoders.
#ifndef QUIRE_ATTENTION_CUDA_MAKE_GQA_ARGS_H_
#define QUIRE_ATTENTION_CUDA_MAKE_GQA_ARGS_H_

#include "attention/attention.h"
#include "attention/cuda/gqa_args.h"

namespace quire {

inline GqaShapeArgs MakeGqaShapeArgs(const GqaShape& shape) {
  return {.num_heads = shape.num_heads,
          .num_kv_heads = shape.num_kv_heads,
          .head_dim = shape.head_dim,
          .value_dim = shape.value_dim,
          .window = shape.window};
}

inline ScoreRuleArgs MakeScoreRuleArgs(const ScoreRules& rules, float scale) {
  return {.scale = scale,
          .softcap = rules.softcap,
          .alibi_slopes = rules.alibi_slopes,
          .bias = rules.bias.data,
          .bias_head_stride = rules.bias.head_stride,
          .bias_row_stride = rules.bias.row_stride,
          .sink_logits = rules.sink_logits};
}

// Of Attention::Gqa, for the rows behind the generated ones.
inline GqaPrefillArgs MakeGqaPrefillArgs(const GqaParams& params, const AttentionBatch& batch) {
  const KvPrefix& prefix = params.prefix;
  return {.qkv = params.qkv,
          .out = params.out,
          .shape = MakeGqaShapeArgs(params.shape),
          .scores = MakeScoreRuleArgs(params.scores, params.scale),
          .pages = {.base = params.kv.base,
                    .page_stride_bytes = params.kv.page_stride_bytes,
                    .block_tokens = params.kv.layout.block_tokens,
                    .dtype = params.kv.layout.dtype},
          .first_row = params.num_generated,
          .num_entries = static_cast<int>(batch.kv_len.size),
          .query_start = batch.query_start.data,
          .kv_len = batch.kv_len.data,
          .table_start = batch.table_start.data,
          .first_block = batch.first_block.data,
          .blocks = batch.blocks.data,
          .prefix_tokens = prefix.tokens,
          .prefix_shared = prefix.shared,
          .shared_blocks = prefix.blocks.data,
          .prefix_start = batch.prefix_start.data,
          .prefix_blocks = batch.prefix_blocks.data,
          .q2 = prefix.q2};
}

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_MAKE_GQA_ARGS_H_
