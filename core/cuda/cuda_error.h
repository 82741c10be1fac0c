// Errors of the CUDA runtime. What lack of memory causes is an absl::Status. All others come from a
// bug or a broken device and lose the device's context, with all that is in it: the process ends
// with one line and exit code 70.
#ifndef QUIRE_CORE_CUDA_CUDA_ERROR_H_
#define QUIRE_CORE_CUDA_CUDA_ERROR_H_

#include <cuda_runtime_api.h>

#include <functional>
#include <string>

namespace quire {

inline constexpr int kCudaErrorExitCode = 70;  // EX_SOFTWARE of sysexits.h

// What is done once before the process ends, with the line that it will print: live requests are
// failed with it. It must not touch the device. Set before the first call of the device.
void SetCudaFailureHandler(std::function<void(const std::string& line)> handler);

// Ends the process without running destructors, which would call the device. Thread-safe: the first
// caller prints and ends it, others wait for the end.
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
