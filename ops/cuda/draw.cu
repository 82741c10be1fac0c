#include "ops/cuda/draw.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_sampler.h"

namespace quire::cuda {

void Draw(DeviceQueue& queue, const DrawArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchDraw(launcher, args);
}

}  // namespace quire::cuda
