// The kernels of ops.h on the device: each call launches one, in the queue's order.
#ifndef QUIRE_OPS_CUDA_LAUNCH_KERNELS_H_
#define QUIRE_OPS_CUDA_LAUNCH_KERNELS_H_

#include "core/cuda/device_queue.h"
#include "ops/cuda/kernel_args.h"

namespace quire::cuda {

void Norm(DeviceQueue& queue, const NormArgs& args);
void Embed(DeviceQueue& queue, const EmbedArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_OPS_CUDA_LAUNCH_KERNELS_H_
