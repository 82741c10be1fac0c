// The CUDA backend's device: a GPU of this machine.
#ifndef QUIRE_ENGINE_CUDA_OPEN_CUDA_DEVICE_H_
#define QUIRE_ENGINE_CUDA_OPEN_CUDA_DEVICE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "engine/cuda/cuda_backend.h"

namespace quire {

// Whether there is a GPU that OpenCudaDevice takes if the build has kernels for it.
bool HasCudaDevice();

// The first GPU, with up to `memory_fraction` of its memory, for batches of max_rows rows.
// FAILED_PRECONDITION where there is none, where it is not one for this build (CheckCudaDevice), or
// where cuBLASLt isn't found.
absl::StatusOr<CudaDevice> OpenCudaDevice(double memory_fraction, int64_t max_rows);

}  // namespace quire

#endif  // QUIRE_ENGINE_CUDA_OPEN_CUDA_DEVICE_H_
