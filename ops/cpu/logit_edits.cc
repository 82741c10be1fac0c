#include "ops/cpu/logit_edits.h"

#include <cmath>
#include <limits>

namespace quire {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

void Penalize(const SamplingParams& params, absl::Span<const TokenId> prompt,
              absl::Span<const TokenId> output, absl::Span<float> y, absl::Span<int32_t> counts) {
  // Each id once, however often it stands in the text: counts[id] goes back to 0 (or -1 for ids of
  // the prompt that are done) as it is used up.
  for (TokenId id : output) ++counts[id];
  const auto repeat = [&](TokenId id) {
    y[id] = y[id] > 0 ? y[id] / params.repetition_penalty : y[id] * params.repetition_penalty;
  };
  for (TokenId id : output) {
    const int32_t count = counts[id];
    if (count <= 0) continue;
    repeat(id);
    y[id] = y[id] - params.frequency_penalty * static_cast<float>(count) - params.presence_penalty;
    counts[id] = -1;
  }
  if (params.repetition_penalty != 1.0F) {  // all that the prompt has a part in
    for (TokenId id : prompt) {
      if (counts[id] < 0) continue;
      repeat(id);
      counts[id] = -1;
    }
    for (TokenId id : prompt) counts[id] = 0;
  }
  for (TokenId id : output) counts[id] = 0;
}

}  // namespace

bool EditsLogits(const SampleRow& row) {
  return !row.params->logit_bias.empty() || !row.banned.empty() || row.params->HasPenalties();
}

void EditLogits(const SampleRow& row, absl::Span<float> y, absl::Span<int32_t> counts) {
  for (float& value : y) {
    if (std::isnan(value)) value = kMinusInfinity;
  }
  for (const auto& [id, bias] : row.params->logit_bias) y[id] += bias;
  for (TokenId id : row.banned) y[id] = kMinusInfinity;
  if (row.params->HasPenalties()) {
    Penalize(*row.params, row.prompt, row.output, y, counts);
  }
}

}  // namespace quire
