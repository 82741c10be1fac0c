// The products of ops.h on the device: each call launches one kernel, in the queue's order.
#ifndef QUIRE_OPS_CUDA_LAUNCH_GEMM_H_
#define QUIRE_OPS_CUDA_LAUNCH_GEMM_H_

#include "core/cuda/device_queue.h"
#include "ops/cuda/gemm_args.h"

namespace quire::cuda {

void Gemm(DeviceQueue& queue, const GemmArgs& args);
void GroupedGemm(DeviceQueue& queue, const GroupedGemmArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_OPS_CUDA_LAUNCH_GEMM_H_
