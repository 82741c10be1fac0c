#include "attention/cuda/mla_norm_rope_write.cuh"

#include "attention/cuda/launch_rope.h"
#include "core/cuda/queue_launcher.cuh"

namespace quire::cuda {

void MlaNormRope(DeviceQueue& queue, const MlaNormRopeArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchMlaNormRope(launcher, args);
}

}  // namespace quire::cuda
