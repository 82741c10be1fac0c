// Norms, rotations, cache writes and page copies on the device: each call launches one kernel, in
// the queue's order.
#ifndef QUIRE_ATTENTION_CUDA_LAUNCH_ROPE_H_
#define QUIRE_ATTENTION_CUDA_LAUNCH_ROPE_H_

#include "attention/cuda/rope_args.h"
#include "core/cuda/device_queue.h"

namespace quire::cuda {

void NormRope(DeviceQueue& queue, const NormRopeArgs& args);
void MlaNormRope(DeviceQueue& queue, const MlaNormRopeArgs& args);
void CopyPages(DeviceQueue& queue, const CopyPagesArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_ATTENTION_CUDA_LAUNCH_ROPE_H_
