// An order of work on a CUDA device: launch functions (ops/cuda/launch_kernels.h) and copies take
// one. CudaStream is the device's; tests put the emulation's in its place
// (core/cuda/emulation/emulated_queue.h), so that what is above the kernels runs without a GPU too.
#ifndef QUIRE_CORE_CUDA_DEVICE_QUEUE_H_
#define QUIRE_CORE_CUDA_DEVICE_QUEUE_H_

#include <cstddef>

namespace quire {

class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;

  // Copies behind the work so far. Host memory that is not pinned is read before it returns.
  virtual void CopyToDevice(void* device, const void* host, size_t bytes) = 0;
  // Whole once Wait() has returned.
  virtual void CopyToHost(void* host, const void* device, size_t bytes) = 0;
  // Until all work so far is done. Faults of its kernels show here.
  virtual void Wait() = 0;
};

}  // namespace quire

#endif  // QUIRE_CORE_CUDA_DEVICE_QUEUE_H_
