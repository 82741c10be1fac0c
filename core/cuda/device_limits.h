// What kernels and launches ask of a GPU.
#ifndef QUIRE_CORE_CUDA_DEVICE_LIMITS_H_
#define QUIRE_CORE_CUDA_DEVICE_LIMITS_H_

#include <cstddef>

namespace quire {

struct DeviceLimits {
  int compute_capability = 0;   // 90 is 9.0
  size_t max_shared_bytes = 0;  // of a block

  // LaunchShape::overlaps_earlier (programmatic dependent launch). Where it does not, kernels begin
  // one after the other, which is as good but for the time.
  bool OverlapsKernels() const { return compute_capability >= 90; }
};

// Those of the thread's current device.
DeviceLimits ReadDeviceLimits();

}  // namespace quire

#endif  // QUIRE_CORE_CUDA_DEVICE_LIMITS_H_
