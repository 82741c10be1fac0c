// Errors of the CUDA runtime. What lack of memory causes is an absl::Status. All others come from a
// bug or a broken device and lose the device's context, with all that is in it (device_failure.h).
#ifndef QUIRE_CORE_CUDA_CUDA_ERROR_H_
#define QUIRE_CORE_CUDA_CUDA_ERROR_H_

#include <cuda_runtime_api.h>

namespace quire {

[[noreturn]] void EndAfterCudaError(cudaError_t error, const char* what, const char* file,
                                    int line);

}  // namespace quire

// QUIRE_CUDA_CHECK(cudaMemcpy(...)): what never fails but for a bug or a broken device.
#define QUIRE_CUDA_CHECK(call)                                             \
  do {                                                                     \
    const cudaError_t quire_error_ = (call);                               \
    if (quire_error_ != cudaSuccess) [[unlikely]] {                        \
      ::quire::EndAfterCudaError(quire_error_, #call, __FILE__, __LINE__); \
    }                                                                      \
  } while (false)

#endif  // QUIRE_CORE_CUDA_CUDA_ERROR_H_
