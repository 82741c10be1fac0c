#include "ops/cpu/logit_edits.h"

#include <cmath>
#include <limits>

#include "ops/logit_edits.h"

namespace quire {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

}  // namespace

void EditLogits(const SampleRow& row, absl::Span<float> y, absl::Span<int32_t> counts) {
  for (float& value : y) {
    if (std::isnan(value)) value = kMinusInfinity;
  }
  for (const auto& [id, bias] : row.params->logit_bias) y[id] += bias;
  for (TokenId id : row.banned) y[id] = kMinusInfinity;
  const SamplingParams& params = *row.params;
  ForEachPenalised(row, counts, [&](TokenId id, int32_t count) {
    y[id] = y[id] > 0 ? y[id] / params.repetition_penalty : y[id] * params.repetition_penalty;
    if (count == 0) return;
    y[id] = y[id] - params.frequency_penalty * static_cast<float>(count) - params.presence_penalty;
  });
}

}  // namespace quire
