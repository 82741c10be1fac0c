// Which GPU this is: what is measured on one holds for those alike.
#ifndef QUIRE_CORE_CUDA_GPU_IDENTITY_H_
#define QUIRE_CORE_CUDA_GPU_IDENTITY_H_

#include <string>

namespace quire {

struct GpuIdentity {
  std::string name;  // "NVIDIA H200": for people
  // Compute capability.
  int major = 0;
  int minor = 0;
  int multiprocessors = 0;
  int driver_version = 0;  // the newest CUDA that the driver knows, as 13000
};

// Of a device that is there.
GpuIdentity ReadGpuIdentity(int device);

}  // namespace quire

#endif  // QUIRE_CORE_CUDA_GPU_IDENTITY_H_
