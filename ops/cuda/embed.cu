#include "ops/cuda/embed.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_kernels.h"

namespace quire::cuda {

void Embed(DeviceQueue& queue, const EmbedArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchEmbed(launcher, args);
}

}  // namespace quire::cuda
