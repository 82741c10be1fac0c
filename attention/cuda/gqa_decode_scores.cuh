// From q k to a score in base 2, by the rules of a layer (ScoreRules), and the running softmax.
#ifndef QUIRE_ATTENTION_CUDA_GQA_DECODE_SCORES_CUH_
#define QUIRE_ATTENTION_CUDA_GQA_DECODE_SCORES_CUH_

#include <bit>
#include <cstdint>

#include "attention/cuda/gqa_decode_args.h"
#include "attention/cuda/gqa_decode_plan.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr float kDecodeLog2E = 1.44269504F;
inline constexpr float kHidden = std::bit_cast<float>(0xff800000U);  // -infinity: not seen

struct DecodeRules {
  float scale;
  float softcap;
  Global<const float> alibi_slopes;
  Global<const float> bias;
  int64_t bias_head_stride;
  int64_t bias_row_stride;

  QUIRE_DEVICE bool ScaleOnly() const {
    return softcap <= 0.0F && alibi_slopes.is_null() && bias.is_null();
  }
};

inline DecodeRules RulesOf(const GqaDecodeArgs& args) {
  return {args.scale,
          args.softcap,
          Global<const float>(args.alibi_slopes),
          Global<const float>(args.bias),
          args.bias_head_stride,
          args.bias_row_stride};
}

// By exp: an error of some 2^-23 whatever x is, for it is multiplied by the cap.
QUIRE_DEVICE float DecodeTanh(float x) {
  return 1.0F - ExactDivide(2.0F, 1.0F + FastExp2(2.0F * kDecodeLog2E * x));
}

// The rules as one head of one row has them.
class DecodeHeadRules {
 public:
  // Where the head does not `exist` (it fills up a product), scores are what they may.
  QUIRE_DEVICE DecodeHeadRules(const DecodeRules& rules, const DecodeItem& item, int head,
                               bool exists)
      : softcap_(rules.softcap), scale_only_(rules.ScaleOnly() || !exists) {
    scale_ = scale_only_ ? rules.scale * kDecodeLog2E : rules.scale;
    if (scale_only_) return;
    seen_from_ = item.seen_from;
    if (!rules.alibi_slopes.is_null()) slope_ = rules.alibi_slopes.Load(head);
    if (!rules.bias.is_null()) {
      bias_ = rules.bias + (head * rules.bias_head_stride + item.row * rules.bias_row_stride);
    }
  }

  // Of the key of `position`, which the row sees.
  QUIRE_DEVICE float Score(float product, int position) const {
    float score = product * scale_;
    if (scale_only_) return score;
    if (softcap_ > 0.0F) score = softcap_ * DecodeTanh(ExactDivide(score, softcap_));
    score = Fma(slope_, static_cast<float>(position - seen_from_), score);
    if (!bias_.is_null()) score += bias_.Load(position);
    return score * kDecodeLog2E;
  }

 private:
  float scale_;
  float softcap_;
  bool scale_only_;
  int seen_from_ = 0;
  float slope_ = 0.0F;
  Global<const float> bias_;
};

// What exponents are taken against: the largest score so far, or 0 where all are hidden.
QUIRE_DEVICE float ExponentBase(float most) { return most == kHidden ? 0.0F : most; }

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_GQA_DECODE_SCORES_CUH_
