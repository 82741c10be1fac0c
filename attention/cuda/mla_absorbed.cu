#include "attention/cuda/mla_absorbed.cuh"

#include "attention/cuda/launch_mla.h"
#include "core/cuda/queue_launcher.cuh"

namespace quire::cuda {

void MlaAbsorbed(DeviceQueue& queue, const MlaAbsorbedArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchMlaAbsorbed(launcher, args);
}

}  // namespace quire::cuda
