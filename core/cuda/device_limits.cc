#include "core/cuda/device_limits.h"

#include <cuda_runtime_api.h>

#include "core/cuda/cuda_error.h"

namespace quire {

DeviceLimits ReadDeviceLimits() {
  int device = 0;
  QUIRE_CUDA_CHECK(cudaGetDevice(&device));
  const auto attribute = [&](cudaDeviceAttr name) {
    int value = 0;
    QUIRE_CUDA_CHECK(cudaDeviceGetAttribute(&value, name, device));
    return value;
  };
  return {
      .compute_capability = attribute(cudaDevAttrComputeCapabilityMajor) * 10 +
                            attribute(cudaDevAttrComputeCapabilityMinor),
      .max_shared_bytes = static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin))};
}

}  // namespace quire
