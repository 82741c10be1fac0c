// Kinds and numbers that describe ops, in a form that kernels can include: no code.
#ifndef QUIRE_OPS_OP_KINDS_H_
#define QUIRE_OPS_OP_KINDS_H_

#include <cstdint>

namespace quire {

enum class NormKind : uint8_t {
  kNone,   // x itself
  kRms,    // x / sqrt(mean(x^2) + eps) (Zhang & Sennrich, 2019)
  kLayer,  // (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) (Ba, Kiros & Hinton, 2016)
};

enum class Activation : uint8_t {
  kSilu,           // x sigmoid(x)
  kGeluTanh,       // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (Hendrycks & Gimpel, 2016)
  kGeluExact,      // x Phi(x) = x (1 + erf(x / sqrt(2))) / 2
  kRelu,           // max(x, 0)
  kClampedSwiglu,  // gated alone: see ActivationParams
};

struct ActivationParams {
  Activation kind = Activation::kSilu;
  // Of kClampedSwiglu (gpt-oss): gate' = min(gate, limit), up' = clamp(up, -limit, limit),
  // out = (up' + 1) gate' sigmoid(alpha gate').
  float limit = 7.0F;
  float alpha = 1.702F;
};

// The most that a router takes.
inline constexpr int kMaxExperts = 1024;
inline constexpr int kMaxTopK = 64;  // of experts and of groups

// How a router's logits become scores.
enum class Scoring : uint8_t {
  kSoftmax,          // softmax over all experts
  kSigmoid,          // of each by itself
  kSoftmaxOfChosen,  // the logits choose; weights are the softmax over those chosen
};

// The score of a group of experts, by which groups are chosen first.
enum class GroupScore : uint8_t {
  kMax,        // its best expert (DeepSeek-V2, "group_limited_greedy")
  kTopTwoSum,  // its best two added (DeepSeek-V3, "noaux_tc")
};

// Which experts a token goes to. Letters: X experts, k chosen ones.
struct RouterRules {
  int num_experts = 0;  // X, at most kMaxExperts
  int top_k = 0;        // k, at most kMaxTopK
  Scoring scoring = Scoring::kSoftmax;
  bool normalise = false;  // the chosen weights are divided by their sum + 1e-20
  float scale = 1.0F;      // of the weights, last
  // Of the groups of X / num_groups experts, the best top_groups are chosen first.
  int num_groups = 1;  // at most kMaxTopK
  int top_groups = 1;
  GroupScore group_score = GroupScore::kMax;
};

}  // namespace quire

#endif  // QUIRE_OPS_OP_KINDS_H_
