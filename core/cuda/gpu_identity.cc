#include "core/cuda/gpu_identity.h"

#include <cuda_runtime_api.h>

#include "core/cuda/cuda_error.h"

namespace quire {

GpuIdentity ReadGpuIdentity(int device) {
  cudaDeviceProp properties;
  QUIRE_CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  GpuIdentity gpu{.name = properties.name,
                  .major = properties.major,
                  .minor = properties.minor,
                  .multiprocessors = properties.multiProcessorCount};
  QUIRE_CUDA_CHECK(cudaDriverGetVersion(&gpu.driver_version));
  return gpu;
}

}  // namespace quire
