// Rotation angles of rotary position embeddings.
#ifndef QUIRE_MODEL_ROPE_H_
#define QUIRE_MODEL_ROPE_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace quire {

enum class RopeScaling : uint8_t {
  kNone,
  kLinear,        // positions are divided by `factor`
  kNtk,           // theta grows, so that the lowest frequency is divided by `factor`
  kDynamicNtk,    // the same by what the sequence's length asks for, past the original context
  kLlama3,        // low frequencies are divided by `factor`, high ones kept, between them a blend
  kYarn,          // the same with other bounds, and cos and sin are scaled
  kLongRope,      // every frequency has its own divisor, one for short sequences, one for long
  kProportional,  // the first pairs rotate by the whole width's frequencies, the others not at all
};

struct RopeConfig {
  double theta = 10000.0;
  int rotary_dim = 0;        // even; the first dims of each head; 0: no rotation
  bool interleaved = false;  // dim 2i turns with 2i + 1, else i with i + rotary_dim / 2
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  // The context that the model was first trained for. kLlama3 and kYarn count their bounds in turns
  // over it; sequences longer than it get kDynamicNtk's and kLongRope's other frequencies.
  int64_t original_max_positions = 8192;
  double low_freq_factor = 1.0;      // kLlama3
  double high_freq_factor = 4.0;     // kLlama3
  double beta_fast = 32.0;           // kYarn
  double beta_slow = 1.0;            // kYarn
  bool truncate = true;              // kYarn: the bounds are whole dims
  double attention_factor = 1.0;     // kYarn and kLongRope: of cos and sin
  double mscale = 0;                 // kYarn
  double mscale_all_dim = 0;         // kYarn, see SoftmaxScaleFactor
  int rotated_pairs = 0;             // kProportional
  std::vector<double> short_factor;  // kLongRope: [rotary_dim / 2]
  std::vector<double> long_factor;   // kLongRope: [rotary_dim / 2]

  // Whether a scaling that is asked for in place of config.json's holds for these layers too.
  bool takes_scaling = true;

  friend bool operator==(const RopeConfig&, const RopeConfig&) = default;
};

// What YaRN's paper takes for attention_factor (Peng et al., "YaRN", 2023, eq. 22), with DeepSeek's
// weight of the logarithm.
double YarnMscale(double factor, double weight = 1.0);
// Of a kYarn config that gives no attention_factor: that, by its factor, or where it has both
// weights (DeepSeek) the ratio of theirs.
double YarnAttentionFactor(const RopeConfig& config);

// What DeepSeek V2 and V3 multiply the softmax scale by: YarnMscale(factor, mscale_all_dim)^2, or 1
// where the config has no mscale_all_dim.
double SoftmaxScaleFactor(const RopeConfig& config);

// Whether a sequence's frequencies depend on its length, past original_max_positions.
bool DependsOnLength(const RopeConfig& config);

// The longest context that the scaling is made for, where config.json says `max_positions`.
int64_t StretchedPositions(const RopeConfig& config, int64_t max_positions);

// Angle per position of each of the rotary_dim / 2 rotated pairs, in fp64, for a sequence of
// `length` tokens (0: any within the original context). The formulas are those of Hugging Face
// transformers' modeling_rope_utils (Su et al., "RoFormer", 2021; kLlama3 is that of the Llama 3.1
// release; kYarn is section 3.2 of the YaRN paper; kLongRope is Ding et al., "LongRoPE", 2024).
// kNtk is not in it: theta factor^(d / (d - 2)) for d rotated dims, as in kDynamicNtk.
std::vector<double> InverseFrequencies(const RopeConfig& config, int64_t length = 0);
// The same into frequencies [rotary_dim / 2], without allocating.
void FillInverseFrequencies(const RopeConfig& config, int64_t length,
                            absl::Span<double> frequencies);

// One row of a rotation table: cos and sin [frequencies.size()] of the angles at `position`, times
// attention_factor, computed in fp64.
void FillRopeRow(const std::vector<double>& frequencies, double attention_factor, int64_t position,
                 float* cos, float* sin);

}  // namespace quire

#endif  // QUIRE_MODEL_ROPE_H_
