#include "attention/cuda/gqa_prefill.cuh"

#include "attention/cuda/launch_gqa_prefill.h"
#include "core/cuda/queue_launcher.cuh"

namespace quire::cuda {

void GqaPrefill(DeviceQueue& queue, const GqaPrefillArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchGqaPrefill(launcher, args);
}

}  // namespace quire::cuda
