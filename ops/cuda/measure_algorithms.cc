#include "ops/cuda/measure_algorithms.h"

#include <algorithm>

#include "ops/cuda/algorithm_choice.h"

namespace quire {
namespace {

// Each configuration once, in the order of the library's choices.
std::vector<CublasAlgorithm> Candidates(const CublasMatmul& matmul, const ProductKind& kind,
                                        const MeasuringPlan& plan) {
  const std::vector<int64_t> all_rows = RowsToCheck(0, plan.most_rows);
  std::vector<AlgorithmConfig> seen;
  std::vector<CublasAlgorithm> candidates;
  for (int64_t rows : plan.timed_rows) {
    for (const CublasAlgorithm& choice :
         matmul.Choices(kind, rows, plan.most_choices, /*may_split=*/false)) {
      if (std::find(seen.begin(), seen.end(), choice.config) != seen.end()) continue;
      seen.push_back(choice.config);
      const std::optional<CublasAlgorithm> made = matmul.Configure(kind, choice.config);
      if (made.has_value() && matmul.Takes(kind, *made, all_rows)) candidates.push_back(*made);
    }
  }
  return candidates;
}

}  // namespace

MeasuredProduct MeasureAlgorithms(const CublasMatmul& matmul, const ProductKind& kind,
                                  const MeasuringPlan& plan, AlgorithmProbe& probe) {
  const std::vector<CublasAlgorithm> candidates = Candidates(matmul, kind, plan);
  std::vector<AlgorithmTrial> trials;
  MeasuredProduct measured;
  for (const CublasAlgorithm& candidate : candidates) {
    AlgorithmTrial& trial = trials.emplace_back();
    trial.is_invariant = probe.IsInvariant(candidate, plan.compared_rows);
    if (!trial.is_invariant) continue;
    ++measured.num_invariant;
    for (int64_t rows : plan.timed_rows) trial.seconds.push_back(probe.Seconds(candidate, rows));
  }
  measured.num_tried = candidates.size();
  const std::optional<size_t> fastest = FastestInvariant(trials);
  if (!fastest.has_value()) return measured;
  measured.fastest = candidates[*fastest].config;
  measured.seconds = trials[*fastest].seconds;
  return measured;
}

}  // namespace quire
