#include "core/cuda/cuda_error.h"

#include "absl/strings/str_cat.h"
#include "core/device_failure.h"

namespace quire {

void EndAfterCudaError(cudaError_t error, const char* what, const char* file, int line) {
  EndAfterDeviceFailure(absl::StrCat("quire: CUDA error ", cudaGetErrorName(error), " (",
                                     cudaGetErrorString(error), ") from ", what, " at ", file, ":",
                                     line, "; the device's context is lost, the process ends"));
}

}  // namespace quire
