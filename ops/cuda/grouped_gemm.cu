#include "ops/cuda/grouped_gemm.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_gemm.h"

namespace quire::cuda {

void GroupedGemm(DeviceQueue& queue, const GroupedGemmArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchGroupedGemm(launcher, args);
}

}  // namespace quire::cuda
