#include "attention/cuda/decode_plan.cuh"

#include "attention/cuda/launch_decode_plan.h"
#include "core/cuda/queue_launcher.cuh"

namespace quire::cuda {

void PlanDecode(DeviceQueue& queue, const DecodePlanArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchDecodePlan(launcher, args);
}

}  // namespace quire::cuda
