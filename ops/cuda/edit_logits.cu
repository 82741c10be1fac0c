#include "ops/cuda/edit_logits.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_sampler.h"

namespace quire::cuda {

void EditLogits(DeviceQueue& queue, const EditLogitsArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchEditLogits(launcher, args);
}

}  // namespace quire::cuda
