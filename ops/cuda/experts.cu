#include "ops/cuda/experts.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_moe.h"

namespace quire::cuda {

void SortPairs(DeviceQueue& queue, const SortPairsArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchSortPairs(launcher, args);
}
void CombineExperts(DeviceQueue& queue, const CombineExpertsArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchCombineExperts(launcher, args);
}

}  // namespace quire::cuda
