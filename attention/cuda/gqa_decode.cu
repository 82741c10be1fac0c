#include "attention/cuda/gqa_decode.cuh"

#include "attention/cuda/launch_gqa_decode.h"
#include "core/cuda/queue_launcher.cuh"

namespace quire::cuda {

void GqaDecode(DeviceQueue& queue, const GqaDecodeArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchGqaDecode(launcher, args);
}

}  // namespace quire::cuda
