#include "ops/cuda/row_ops.cuh"

#include "core/cuda/queue_launcher.cuh"
#include "ops/cuda/launch_row_ops.h"

namespace quire::cuda {

void ActivateRows(DeviceQueue& queue, const ActivateRowsArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchActivateRows(launcher, args);
}
void AddRows(DeviceQueue& queue, const AddRowsArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchAddRows(launcher, args);
}
void Softcap(DeviceQueue& queue, const SoftcapArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchSoftcap(launcher, args);
}
void GatherRows(DeviceQueue& queue, const GatherRowsArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchGatherRows(launcher, args);
}
void SumRows(DeviceQueue& queue, const SumRowsArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchSumRows(launcher, args);
}

}  // namespace quire::cuda
