#include "attention/cuda/copy_pages.cuh"

#include "attention/cuda/launch_rope.h"
#include "core/cuda/queue_launcher.cuh"

namespace quire::cuda {

void CopyPages(DeviceQueue& queue, const CopyPagesArgs& args) {
  QUIRE_CUDA_TARGET::QueueLauncher launcher(queue);
  LaunchCopyPages(launcher, args);
}

}  // namespace quire::cuda
