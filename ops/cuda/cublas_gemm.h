// Products of prompt rows by cuBLASLt.
#ifndef QUIRE_OPS_CUDA_CUBLAS_GEMM_H_
#define QUIRE_OPS_CUDA_CUBLAS_GEMM_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "core/cuda/cuda_stream.h"
#include "core/device_memory.h"
#include "ops/cuda/prompt_gemm.h"

namespace quire {

// One algorithm for each shape of weights, chosen once and kept for every number of rows: it does
// not split K, so that a row's sum has one order. Where an algorithm refuses a number of rows the
// process ends: to take another would change bits. `stream` and `memory` outlive it.
// RESOURCE_EXHAUSTED where its workspace can't be had, FAILED_PRECONDITION where the library isn't
// there.
absl::StatusOr<std::unique_ptr<PromptGemm>> MakeCublasGemm(CudaStream& stream, DeviceMemory& memory,
                                                           int64_t max_rows);

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_CUBLAS_GEMM_H_
