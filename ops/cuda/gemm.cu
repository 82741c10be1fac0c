#include "ops/cuda/gemm.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_gemm.h"

namespace quire::cuda {

void Gemm(DeviceQueue& queue, const GemmArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchGemm(launcher, args);
}

}  // namespace quire::cuda
