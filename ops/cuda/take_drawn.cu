#include "ops/cuda/take_drawn.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_sampler.h"

namespace quire::cuda {

void TakeDrawn(DeviceQueue& queue, const TakeDrawnArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchTakeDrawn(launcher, args);
}

}  // namespace quire::cuda
