// cuBLASLt's products with an algorithm of our choice.
#ifndef QUIRE_OPS_CUDA_CUBLAS_MATMUL_H_
#define QUIRE_OPS_CUDA_CUBLAS_MATMUL_H_

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/device_memory.h"
#include "ops/cuda/algorithm_config.h"
#include "ops/cuda/cuda_linear.h"

namespace quire {

struct CublasAlgorithm {
  cublasLtMatmulAlgo_t algorithm{};
  AlgorithmConfig config;  // what it says of itself
};

// Owns the library's handle and the workspace of all products, which is taken once. One call at a
// time.
class CublasMatmul {
 public:
  // FAILED_PRECONDITION where the library isn't there, RESOURCE_EXHAUSTED where the workspace can't
  // be had. `stream` and `memory` outlive it.
  static absl::StatusOr<std::unique_ptr<CublasMatmul>> Create(cudaStream_t stream,
                                                              DeviceMemory& memory);
  ~CublasMatmul();
  CublasMatmul(const CublasMatmul&) = delete;
  CublasMatmul& operator=(const CublasMatmul&) = delete;

  size_t version() const;  // of the library: 130100

  // The kind of `linear` into y of type `out`; nullopt where the library can't add its bias, which
  // it takes in y's type alone.
  static std::optional<ProductKind> KindOf(const CudaLinear& linear, DType out);
  // Whether a product's matrix has the alignment that algorithms are chosen for.
  static bool IsAligned(const DeviceMatrix& matrix);

  // The library's choices for `rows` rows, likely the fastest first, at most `most`; all of them
  // take K whole unless `may_split`.
  std::vector<CublasAlgorithm> Choices(const ProductKind& kind, int64_t rows, int most,
                                       bool may_split) const;
  // The algorithm of a configuration, or nullopt where the library has no such one.
  std::optional<CublasAlgorithm> Configure(const ProductKind& kind,
                                           const AlgorithmConfig& config) const;
  // Whether the library and the workspace do for these numbers of rows.
  bool Takes(const ProductKind& kind, const CublasAlgorithm& algorithm,
             const std::vector<int64_t>& rows) const;

  // y = x W^T + b in the stream's order. The matrices are aligned, and KindOf has a kind.
  void Multiply(const CublasAlgorithm& algorithm, const CudaLinear& linear, const DeviceMatrix& x,
                const DeviceMatrix& y) const;

 private:
  CublasMatmul(cudaStream_t stream, DeviceBuffer workspace);

  cudaStream_t stream_;
  DeviceBuffer workspace_;
  cublasLtHandle_t handle_ = nullptr;
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_CUBLAS_MATMUL_H_
