#include "ops/cuda/score.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_sampler.h"

namespace quire::cuda {

void Score(DeviceQueue& queue, const ScoreArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchScore(launcher, args);
}

}  // namespace quire::cuda
