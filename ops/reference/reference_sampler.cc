#include "ops/reference/reference_sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/check.h"
#include "ops/sampling_math.h"

namespace quire {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// The edits of sampler.h, line by line.
std::vector<float> Edited(const SampleRow& row, absl::Span<const float> logits) {
  const SamplingParams& params = *row.params;
  std::vector<float> y(logits.begin(), logits.end());
  for (size_t i = 0; i < y.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (std::isnan(y[i])) y[i] = kMinusInfinity;
    for (const auto& [biased, bias] : params.logit_bias) {
      if (biased == id) y[i] += bias;
    }
    if (std::count(row.banned.begin(), row.banned.end(), id) > 0) y[i] = kMinusInfinity;
    const auto in_prompt = std::count(row.prompt.begin(), row.prompt.end(), id);
    const auto in_output = std::count(row.output.begin(), row.output.end(), id);
    if (in_prompt + in_output > 0) {
      y[i] = y[i] > 0 ? y[i] / params.repetition_penalty : y[i] * params.repetition_penalty;
    }
    if (in_output > 0) {
      y[i] =
          y[i] - params.frequency_penalty * static_cast<float>(in_output) - params.presence_penalty;
    }
  }
  return y;
}

// Ids by (value descending, id ascending), NaN last.
std::vector<TokenId> Ranked(absl::Span<const float> values) {
  std::vector<TokenId> ids(values.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto key = [&](TokenId id) { return std::isnan(values[id]) ? kMinusInfinity : values[id]; };
  std::stable_sort(ids.begin(), ids.end(), [&](TokenId a, TokenId b) { return key(a) > key(b); });
  return ids;
}

TokenId Draw(const SampleRow& row, absl::Span<const float> y) {
  const SamplingParams& params = *row.params;
  const std::vector<TokenId> ranked = Ranked(y);
  const float max = y[ranked[0]];
  if (!std::isfinite(max)) return kNoToken;
  if (params.temperature == 0) return ranked[0];

  const float scale = TemperatureScale(params.temperature);
  const auto weight = [&](TokenId id) { return ExpWeight(y[id], max, scale); };
  size_t kept = ranked.size();
  if (params.top_k > 0) kept = std::min(kept, static_cast<size_t>(params.top_k));
  if (params.top_p < 1) {
    uint64_t total = 0;
    for (size_t i = 0; i < kept; ++i) total += weight(ranked[i]);
    const uint64_t target = TopPTarget(params.top_p, total);
    uint64_t sum = 0;
    size_t reached = 0;
    while (sum < target) sum += weight(ranked[reached++]);
    kept = reached;
  }
  std::vector<TokenId> candidates(ranked.begin(), ranked.begin() + kept);
  std::erase_if(candidates, [&](TokenId id) {  // exact: doubles hold both sides
    return static_cast<double>(weight(id)) < static_cast<double>(params.min_p) * 0x1p40;
  });
  std::sort(candidates.begin(), candidates.end());

  uint64_t total = 0;
  for (TokenId id : candidates) total += weight(id);
  const uint64_t share =
      ShareOf(total, RandomBits(params.seed, row.sequence_index, row.output_position));
  uint64_t sum = 0;
  for (TokenId id : candidates) {
    sum += weight(id);
    if (sum > share) return id;
  }
  QUIRE_CHECK(false) << "the weights sum to " << total << ", the share is " << share;
  return kNoToken;
}

TokenLogprobs ScoreRow(absl::Span<const float> logits, TokenId target, int32_t top) {
  const std::vector<TokenId> ranked = Ranked(logits);
  const double max = logits[ranked[0]];
  if (!std::isfinite(max)) return {.chosen = {.token = kNoToken}, .top = {}};
  double sum = 0;
  for (float x : logits) {
    if (!std::isnan(x)) sum += std::exp(x - max);
  }
  const double log_sum = max + std::log(sum);
  const auto scored = [&](TokenId id) {
    const float x = std::isnan(logits[id]) ? kMinusInfinity : logits[id];
    return TokenLogprob{.token = id, .logprob = static_cast<float>(x - log_sum)};
  };
  TokenLogprobs result{.chosen = scored(target), .top = {}};
  for (TokenId id : ranked) {
    if (static_cast<int32_t>(result.top.size()) == top) break;
    if (!std::isnan(logits[id])) result.top.push_back(scored(id));
  }
  return result;
}

class ReferenceSampler : public Sampler {
 public:
  void Sample(const DeviceMatrix& logits, absl::Span<const SampleRow> rows,
              absl::Span<SampledToken> results) override {
    QUIRE_CHECK_EQ(rows.size(), results.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      const absl::Span<const float> raw(logits.Row<float>(rows[i].logits_row), logits.cols);
      results[i].token = Draw(rows[i], Edited(rows[i], raw));
      if (rows[i].top_logprobs && results[i].token != kNoToken) {
        results[i].logprobs = ScoreRow(raw, results[i].token, *rows[i].top_logprobs);
        results[i].token = results[i].logprobs.chosen.token;
      }
    }
  }

  void Score(const DeviceMatrix& logits, absl::Span<const TokenId> targets, int32_t top,
             absl::Span<TokenLogprobs> results) override {
    for (size_t i = 0; i < targets.size(); ++i) {
      results[i] =
          ScoreRow(absl::MakeConstSpan(logits.Row<float>(i), logits.cols), targets[i], top);
    }
  }
};

}  // namespace

std::unique_ptr<Sampler> MakeReferenceSampler() { return std::make_unique<ReferenceSampler>(); }

}  // namespace quire
