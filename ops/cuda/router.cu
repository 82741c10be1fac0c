#include "ops/cuda/router.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_moe.h"

namespace quire::cuda {

void RouteRows(DeviceQueue& queue, const RouteRowsArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchRouteRows(launcher, args);
}

}  // namespace quire::cuda
