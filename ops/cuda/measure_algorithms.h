// The measurement behind a row of measured_algorithms.inc.
#ifndef QUIRE_OPS_CUDA_MEASURE_ALGORITHMS_H_
#define QUIRE_OPS_CUDA_MEASURE_ALGORITHMS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ops/cuda/algorithm_config.h"
#include "ops/cuda/algorithm_probe.h"
#include "ops/cuda/cublas_matmul.h"

namespace quire {

struct MeasuringPlan {
  std::vector<int64_t> timed_rows = {512, 2048, 8192};
  std::vector<int64_t> compared_rows = {1, 7, 64, 513, 2048, 8192};  // whose bits must agree
  int most_choices = 100;                                            // at each of timed_rows
  int64_t most_rows = 8192;                                          // of both
};

struct MeasuredProduct {
  std::optional<AlgorithmConfig> fastest;  // of the invariant ones
  std::vector<double> seconds;             // its, at each of timed_rows
  size_t num_tried = 0;                    // that take every number of rows
  size_t num_invariant = 0;
};

// Of all that the library offers without splitting K, the fastest whose rows keep their bits; each
// as its configuration makes it. `probe` is of the kind and of plan.most_rows rows.
MeasuredProduct MeasureAlgorithms(const CublasMatmul& matmul, const ProductKind& kind,
                                  const MeasuringPlan& plan, AlgorithmProbe& probe);

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_MEASURE_ALGORITHMS_H_
