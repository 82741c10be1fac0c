#include "ops/cuda/norm.cuh"

#include "core/cuda/stream_launcher.cuh"
#include "ops/cuda/launch_kernels.h"

namespace quire::cuda {

void Norm(cudaStream_t stream, const NormArgs& args) {
  StreamLauncher launcher(stream);
  LaunchNorm(launcher, args);
}

}  // namespace quire::cuda
