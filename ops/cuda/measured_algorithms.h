// The algorithms that prompt rows take, measured once for each GPU: what a server multiplies by
// does not change with the library's own choice. quire-cublas-table (bench/cublas) measures and
// prints rows.
#ifndef QUIRE_OPS_CUDA_MEASURED_ALGORITHMS_H_
#define QUIRE_OPS_CUDA_MEASURED_ALGORITHMS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/cuda/gpu_identity.h"
#include "ops/cuda/algorithm_config.h"

namespace quire {

struct MeasuredAlgorithm {
  // GPUs with the same multiprocessors are alike, whatever their name (H100 and H200).
  int major = 0;
  int minor = 0;
  int multiprocessors = 0;
  DType act = DType::kBFloat16;
  DType out = DType::kBFloat16;
  int64_t n = 0;
  int64_t k = 0;
  AlgorithmConfig config;
};

// The table of measured_algorithms.inc.
absl::Span<const MeasuredAlgorithm> MeasuredAlgorithms();

// INTERNAL with the first row that splits K, or that another row's key makes unreachable.
absl::Status CheckTable(absl::Span<const MeasuredAlgorithm> table);

std::optional<AlgorithmConfig> FindMeasured(absl::Span<const MeasuredAlgorithm> table,
                                            const GpuIdentity& gpu, const ProductKind& kind);

// The row as it stands in measured_algorithms.inc, with its comma and without an end of line.
std::string SourceText(const MeasuredAlgorithm& row);

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_MEASURED_ALGORITHMS_H_
