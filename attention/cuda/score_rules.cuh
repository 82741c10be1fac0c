// What becomes of a score on its way into the softmax (ScoreRules in attention/attention.h), and
// the softmax of a row that comes tile by tile. Scores are in units of log2 e, so that 2^s counts.
#ifndef QUIRE_ATTENTION_CUDA_SCORE_RULES_CUH_
#define QUIRE_ATTENTION_CUDA_SCORE_RULES_CUH_

#include <bit>
#include <cstdint>

#include "attention/cuda/gqa_args.h"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// -infinity.
inline constexpr float kUnseenScore = std::bit_cast<float>(0xff800000U);

// A row's softmax so far. A tile of which the row sees nothing (all scores -infinity) changes no
// bit of it, nor of sums scaled by what Raise returns.
struct SoftmaxRow {
  static constexpr float kLog2E = 1.44269504088896340736F;

  float max = kUnseenScore;
  float sum = 0.0F;

  // What to subtract from scores.
  QUIRE_DEVICE float Offset() const { return max == kUnseenScore ? 0.0F : max; }
  // The scores reach `most`: returns the factor of what has been summed up.
  QUIRE_DEVICE float Raise(float most) {
    const float before = max;
    max = most > max || most != most ? most : max;
    return FastExp2(before - Offset());
  }
  // The sink's score, last: returns the factor of everything.
  QUIRE_DEVICE float Finish(float sink) {
    const float factor = Raise(sink);
    sum = Fma(sum, factor, FastExp2(sink - Offset()));
    // A row that sees nothing is zero.
    return sum == 0.0F ? 0.0F : ExactDivide(factor, sum);
  }
};

struct RuleParams {
  float scale;
  float softcap;
  Global<const float> alibi_slopes;
  Global<const float> bias;
  int64_t bias_head_stride;
  int64_t bias_row_stride;
  Global<const float> sink_logits;

  // Whether a score is more than scale q k^T.
  QUIRE_HOST_DEVICE bool ChangeScores() const {
    return softcap > 0.0F || !alibi_slopes.is_null() || !bias.is_null();
  }
};

inline RuleParams MakeRuleParams(const ScoreRuleArgs& args) {
  return {.scale = args.scale,
          .softcap = args.softcap,
          .alibi_slopes = Global<const float>(args.alibi_slopes),
          .bias = Global<const float>(args.bias),
          .bias_head_stride = args.bias_head_stride,
          .bias_row_stride = args.bias_row_stride,
          .sink_logits = Global<const float>(args.sink_logits)};
}

// tanh(x), error below 2^-21.
QUIRE_DEVICE float PreciseTanh(float x) {
  return 1.0F - ExactDivide(2.0F, FastExp2(2.0F * SoftmaxRow::kLog2E * x) + 1.0F);
}

// The rules of one head.
class PromptRules {
 public:
  QUIRE_DEVICE PromptRules(const RuleParams& params, int head) : p_(params), head_(head) {
    if (!p_.alibi_slopes.is_null()) slope_ = p_.alibi_slopes.Load<Cache::kReadOnly>(head);
  }

  // Of the product `x` of row `row` of the batch with the key of position `column`, `distance`
  // behind the row (negative where it lies before).
  QUIRE_DEVICE float Apply(float x, int64_t row, int column, int distance) const {
    x *= p_.scale;
    if (p_.softcap > 0.0F) x = p_.softcap * PreciseTanh(ExactDivide(x, p_.softcap));
    if (!p_.alibi_slopes.is_null()) x = Fma(slope_, static_cast<float>(distance), x);
    if (!p_.bias.is_null()) {
      x += p_.bias.Load<Cache::kReadOnly>(head_ * p_.bias_head_stride + row * p_.bias_row_stride +
                                          column);
    }
    return x * SoftmaxRow::kLog2E;
  }
  // The score of the sink, -infinity where there is none.
  QUIRE_DEVICE float Sink() const {
    return p_.sink_logits.is_null()
               ? kUnseenScore
               : p_.sink_logits.Load<Cache::kReadOnly>(head_) * SoftmaxRow::kLog2E;
  }

 private:
  const RuleParams& p_;
  int head_;
  float slope_ = 0.0F;
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_SCORE_RULES_CUH_
