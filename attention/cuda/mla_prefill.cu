#include "attention/cuda/mla_prefill.cuh"

#include "attention/cuda/launch_mla.h"
#include "core/cuda/queue_launcher.cuh"

namespace quire::cuda {

void MlaGather(DeviceQueue& queue, const MlaGatherArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchMlaGather(launcher, args);
}

void MlaPrefill(DeviceQueue& queue, const MlaPrefillArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchMlaPrefill(launcher, args);
}

}  // namespace quire::cuda
