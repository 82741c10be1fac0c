// Which algorithm, of which numbers of rows: arithmetic alone, for the server and for the tool.
#ifndef QUIRE_OPS_CUDA_ALGORITHM_CHOICE_H_
#define QUIRE_OPS_CUDA_ALGORITHM_CHOICE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"

namespace quire {

// What was measured of one algorithm.
struct AlgorithmTrial {
  bool is_invariant = false;    // a row's bits were the same for every number of rows
  std::vector<double> seconds;  // of each number of rows, the same for all trials; above 0
};

// The invariant trial whose times, each as a multiple of the least that an invariant one has there,
// have the least sum: large products do not outvote small ones. The first of equals; nullopt where
// none is invariant.
std::optional<size_t> FastestInvariant(absl::Span<const AlgorithmTrial> trials);

// Numbers of rows in (`above`, `most`] that an algorithm has to take to be trusted with all of
// them: each one up to 1024, and around every power of two and the end.
std::vector<int64_t> RowsToCheck(int64_t above, int64_t most);

// The ends of the ranges of rows, (0, first], (first, second], ..., that algorithms are measured
// for where they may differ: 64, 256, 1024, ... and max_rows, ascending.
std::vector<int64_t> RowBuckets(int64_t max_rows);

// The index of the first bucket that holds `rows`, which are at most the last one's.
size_t BucketOf(int64_t rows, absl::Span<const int64_t> buckets);

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_ALGORITHM_CHOICE_H_
