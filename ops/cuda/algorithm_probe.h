// What an algorithm does to one linear's rows on the device: their bits, and its time.
#ifndef QUIRE_OPS_CUDA_ALGORITHM_PROBE_H_
#define QUIRE_OPS_CUDA_ALGORITHM_PROBE_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "ops/cuda/cublas_matmul.h"
#include "ops/cuda/cuda_linear.h"

namespace quire {

// Takes device memory for its rows while it lives. All that it borrows outlives it.
class AlgorithmProbe {
 public:
  // Seconds of some steady clock.
  using Clock = std::function<double()>;

  // For up to max_rows rows, y of type `out`. `queue` is in the order of the product's stream.
  // RESOURCE_EXHAUSTED where the rows can't be had.
  static absl::StatusOr<AlgorithmProbe> Create(const CublasMatmul& matmul, DeviceQueue& queue,
                                               DeviceMemory& memory, const CudaLinear& linear,
                                               DType out, int64_t max_rows, Clock clock);

  // Whether a row has the same bits in each of these numbers of rows, wherever it stands in them.
  bool IsInvariant(const CublasAlgorithm& algorithm, absl::Span<const int64_t> numbers_of_rows);
  // Of one product of `rows` rows.
  double Seconds(const CublasAlgorithm& algorithm, int64_t rows);

 private:
  AlgorithmProbe(const CublasMatmul& matmul, DeviceQueue& queue, const CudaLinear& linear,
                 Clock clock)
      : matmul_(matmul), queue_(queue), linear_(linear), clock_(std::move(clock)) {}

  void FillRows();
  void Multiply(const CublasAlgorithm& algorithm, int64_t rows);
  size_t ResultRowBytes() const;
  // The bytes of rows [begin, begin + count) of y.
  std::vector<char> ReadResults(int64_t begin, int64_t count);
  void SpoilResults(int64_t begin, int64_t count);
  bool HasBitsOf(const std::vector<char>& pattern, int64_t begin, int64_t count);

  const CublasMatmul& matmul_;
  DeviceQueue& queue_;
  const CudaLinear& linear_;
  Clock clock_;
  DeviceBuffer x_buffer_;
  DeviceBuffer y_buffer_;
  DeviceMatrix x_;  // row r is as row r % kPatternRows
  DeviceMatrix y_;
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_ALGORITHM_PROBE_H_
