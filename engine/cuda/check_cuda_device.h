// What the CUDA backend asks of a GPU.
#ifndef QUIRE_ENGINE_CUDA_CHECK_CUDA_DEVICE_H_
#define QUIRE_ENGINE_CUDA_CHECK_CUDA_DEVICE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/cuda/device_limits.h"

namespace quire {

// FAILED_PRECONDITION where the GPU called `name` lacks something: compute capability 8.0,
// kLeastSharedBytes a block, or kernels compiled for it (`has_kernels`) in a build for
// `architectures`.
absl::Status CheckCudaDevice(absl::string_view name, const DeviceLimits& limits, bool has_kernels,
                             absl::string_view architectures);

}  // namespace quire

#endif  // QUIRE_ENGINE_CUDA_CHECK_CUDA_DEVICE_H_
