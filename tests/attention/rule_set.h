// Score rules with numbers of their own, for tests.
#ifndef QUIRE_TESTS_ATTENTION_RULE_SET_H_
#define QUIRE_TESTS_ATTENTION_RULE_SET_H_

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "attention/attention.h"

namespace quire::testing {

enum class BiasKind { kNone, kShared, kPerHead };

struct RuleSpec {
  float softcap = 0.0F;
  bool alibi = false;
  BiasKind bias = BiasKind::kNone;
  bool sinks = false;
};

class RuleSet {
 public:
  // Row t sees no key from keys[t] on: the bias holds NaN there. Every eighth key is hidden, the
  // first row's all.
  RuleSet(const RuleSpec& spec, int heads, const std::vector<int32_t>& keys, uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    rules_.softcap = spec.softcap;
    for (int h = 0; h < heads; ++h) {
      slopes_.push_back(std::exp2(-8.0F * static_cast<float>(h + 1) / static_cast<float>(heads)));
      sinks_.push_back(2 * normal(random));
    }
    if (spec.alibi) rules_.alibi_slopes = slopes_.data();
    if (spec.sinks) rules_.sink_logits = sinks_.data();
    if (spec.bias == BiasKind::kNone) return;
    const auto rows = static_cast<int64_t>(keys.size());
    int64_t most = 0;
    for (int32_t count : keys) most = std::max<int64_t>(most, count);
    rules_.bias.row_stride = most + 3;
    const int matrices = spec.bias == BiasKind::kShared ? 1 : heads;
    if (matrices > 1) rules_.bias.head_stride = rows * rules_.bias.row_stride + 5;
    // Exactly what may be read, so that AddressSanitizer sees a step over the end.
    bias_.assign((matrices - 1) * rules_.bias.head_stride + (rows - 1) * rules_.bias.row_stride +
                     keys.back(),
                 NAN);
    for (int m = 0; m < matrices; ++m) {
      for (int64_t t = 0; t < rows; ++t) {
        float* row = bias_.data() + m * rules_.bias.head_stride + t * rules_.bias.row_stride;
        for (int32_t j = 0; j < keys[t]; ++j) {
          const bool hidden = t == 0 || random() % 8 == 0;
          row[j] = hidden ? -std::numeric_limits<float>::infinity() : normal(random);
        }
      }
    }
    rules_.bias.data = bias_.data();
  }
  RuleSet(const RuleSet&) = delete;
  RuleSet& operator=(const RuleSet&) = delete;

  const ScoreRules& rules() const { return rules_; }

 private:
  ScoreRules rules_;
  std::vector<float> slopes_, sinks_, bias_;
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_RULE_SET_H_
