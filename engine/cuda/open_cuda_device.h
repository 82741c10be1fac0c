// The CUDA backend's device: a GPU of this machine.
#ifndef QUIRE_ENGINE_CUDA_OPEN_CUDA_DEVICE_H_
#define QUIRE_ENGINE_CUDA_OPEN_CUDA_DEVICE_H_

#include "absl/status/statusor.h"
#include "engine/cuda/cuda_backend.h"

namespace quire {

// Whether there is a GPU that OpenCudaDevice takes if the build has kernels for it.
bool HasCudaDevice();

// The first GPU, with what `options` say of memory, of rows and of batch invariance.
// FAILED_PRECONDITION where there is none, where it is not one for this build (CheckCudaDevice), or
// where cuBLASLt isn't found.
absl::StatusOr<CudaDevice> OpenCudaDevice(const BackendOptions& options);

}  // namespace quire

#endif  // QUIRE_ENGINE_CUDA_OPEN_CUDA_DEVICE_H_
