#include "ops/cuda/norm.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_kernels.h"

namespace quire::cuda {

void Norm(DeviceQueue& queue, const NormArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchNorm(launcher, args);
}

}  // namespace quire::cuda
