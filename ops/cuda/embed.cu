#include "ops/cuda/embed.cuh"

#include "core/cuda/stream_launcher.cuh"
#include "ops/cuda/launch_kernels.h"

namespace quire::cuda {

void Embed(cudaStream_t stream, const EmbedArgs& args) {
  StreamLauncher launcher(stream);
  LaunchEmbed(launcher, args);
}

}  // namespace quire::cuda
