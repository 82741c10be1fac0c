// The scores of one head of a generated row, in base 2.
#ifndef QUIRE_ATTENTION_CUDA_GQA_DECODE_SCORES_CUH_
#define QUIRE_ATTENTION_CUDA_GQA_DECODE_SCORES_CUH_

#include <cstdint>

#include "attention/cuda/decode_plan.cuh"
#include "attention/cuda/gqa_decode_args.h"
#include "attention/cuda/score_rules.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline RuleParams RulesOf(const GqaDecodeArgs& args) {
  return {.scale = args.scale,
          .softcap = args.softcap,
          .alibi_slopes = Global<const float>(args.alibi_slopes),
          .bias = Global<const float>(args.bias),
          .bias_head_stride = args.bias_head_stride,
          .bias_row_stride = args.bias_row_stride,
          .sink_logits = Global<const float>(args.sink_logits)};
}

class DecodeScores {
 public:
  QUIRE_DEVICE DecodeScores(const RuleParams& params, const DecodeItem& item, int head)
      : rules_(params, head),
        scale_only_(!params.ChangeScores()),
        scale_(params.scale * SoftmaxRow::kLog2E),
        row_(item.row),
        seen_from_(item.seen_from) {}

  // Of a product with the key of `position`, which the row sees.
  QUIRE_DEVICE float Of(float product, int position) const {
    return scale_only_ ? product * scale_
                       : rules_.Apply(product, row_, position, position - seen_from_);
  }

 private:
  PromptRules rules_;
  bool scale_only_;
  float scale_;
  int row_, seen_from_;
};

// Head `i` of `heads`; those that fill up a product have the last one's rules.
QUIRE_DEVICE int ExistingHead(int i, int heads) { return i < heads ? i : heads - 1; }

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_GQA_DECODE_SCORES_CUH_
