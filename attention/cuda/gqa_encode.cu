#include "attention/cuda/gqa_encode.cuh"

#include "attention/cuda/launch_gqa_prefill.h"
#include "core/cuda/queue_launcher.cuh"

namespace quire::cuda {

void Encode(DeviceQueue& queue, const EncodeArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchEncode(launcher, args);
}

}  // namespace quire::cuda
