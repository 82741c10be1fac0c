#include "attention/cuda/norm_rope_write.cuh"

#include "attention/cuda/launch_rope.h"
#include "core/cuda/queue_launcher.cuh"

namespace quire::cuda {

void NormRope(DeviceQueue& queue, const NormRopeArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchNormRope(launcher, args);
}

}  // namespace quire::cuda
