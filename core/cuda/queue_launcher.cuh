// The launcher of a DeviceQueue. A .cu file is compiled by nvcc for the device, and by the host's
// compiler for the emulation:
//
//   void Norm(DeviceQueue& queue, const NormArgs& args) {
//     QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
//     LaunchNorm(launcher, args);
//   }
#ifndef QUIRE_CORE_CUDA_QUEUE_LAUNCHER_CUH_
#define QUIRE_CORE_CUDA_QUEUE_LAUNCHER_CUH_

#include "core/cuda/device_queue.h"
#include "core/cuda/primitives/target.cuh"

#if QUIRE_EMULATED
#include "core/cuda/emulation/emulated_queue.h"
#else
#include "core/cuda/cuda_stream.h"
#include "core/cuda/stream_launcher.cuh"
#endif

namespace quire::QUIRE_CUDA_TARGET {

#if QUIRE_EMULATED
class QueueLauncher {
 public:
  explicit QueueLauncher(DeviceQueue& queue)
      : queue_(static_cast<emulation::EmulatedQueue&>(queue)) {}

  size_t max_shared_bytes() const { return queue_.max_shared_bytes(); }

  template <typename... Params>
  void Launch(const LaunchShape& shape, void (*kernel)(Params...), const Params&... params) {
    queue_.Launch(shape, kernel, params...);
  }

 private:
  emulation::EmulatedQueue& queue_;
};
#else
class QueueLauncher : public StreamLauncher {
 public:
  explicit QueueLauncher(DeviceQueue& queue) : QueueLauncher(static_cast<CudaStream&>(queue)) {}

 private:
  explicit QueueLauncher(CudaStream& stream) : StreamLauncher(stream.get(), stream.limits()) {}
};
#endif

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_QUEUE_LAUNCHER_CUH_
