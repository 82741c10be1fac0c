#include "ops/cuda/batched_gemm.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_gemm.h"

namespace quire::cuda {

void BatchedGemm(DeviceQueue& queue, std::span<const GemmArgs> products) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchBatchedGemm(launcher, products);
}

}  // namespace quire::cuda
