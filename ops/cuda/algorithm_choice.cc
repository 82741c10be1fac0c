#include "ops/cuda/algorithm_choice.h"

#include <algorithm>
#include <limits>

#include "core/check.h"

namespace quire {

std::optional<size_t> FastestInvariant(absl::Span<const AlgorithmTrial> trials) {
  std::vector<double> least;
  for (const AlgorithmTrial& trial : trials) {
    if (!trial.is_invariant) continue;
    least.resize(trial.seconds.size(), std::numeric_limits<double>::infinity());
    for (size_t i = 0; i < least.size(); ++i) least[i] = std::min(least[i], trial.seconds[i]);
  }
  std::optional<size_t> best;
  double best_sum = std::numeric_limits<double>::infinity();
  for (size_t t = 0; t < trials.size(); ++t) {
    if (!trials[t].is_invariant) continue;
    QUIRE_CHECK_EQ(trials[t].seconds.size(), least.size());
    double sum = 0.0;
    for (size_t i = 0; i < least.size(); ++i) sum += trials[t].seconds[i] / least[i];
    if (sum < best_sum) {
      best_sum = sum;
      best = t;
    }
  }
  return best;
}

std::vector<int64_t> RowsToCheck(int64_t above, int64_t most) {
  constexpr int64_t kEach = 1024;
  std::vector<int64_t> rows;
  for (int64_t m = 1; m <= kEach; ++m) rows.push_back(m);
  for (int64_t power = 2 * kEach; power <= 2 * most; power *= 2) {
    for (int64_t m : {power - 1, power, power + 1}) rows.push_back(m);
  }
  if (most > kEach) rows.push_back(most);
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  std::erase_if(rows, [&](int64_t m) { return m <= above || m > most; });
  return rows;
}

std::vector<int64_t> RowBuckets(int64_t max_rows) {
  std::vector<int64_t> ends;
  for (int64_t end = 64; end < max_rows; end *= 4) ends.push_back(end);
  ends.push_back(max_rows);
  return ends;
}

size_t BucketOf(int64_t rows, absl::Span<const int64_t> buckets) {
  const auto found = std::lower_bound(buckets.begin(), buckets.end(), rows);
  QUIRE_CHECK(found != buckets.end()) << rows << " rows, at most " << buckets.back();
  return static_cast<size_t>(found - buckets.begin());
}

}  // namespace quire
