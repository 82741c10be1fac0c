// The products of ops.h on the device, in the queue's order.
#ifndef QUIRE_OPS_CUDA_LAUNCH_GEMM_H_
#define QUIRE_OPS_CUDA_LAUNCH_GEMM_H_

#include <span>

#include "core/cuda/device_queue.h"
#include "ops/cuda/gemm_args.h"

namespace quire::cuda {

void Gemm(DeviceQueue& queue, const GemmArgs& args);
// All of them, to the bits of Gemm. No y overlaps an x or another y. Neighbours of one shape, with
// the same strides and types, share a launch.
void BatchedGemm(DeviceQueue& queue, std::span<const GemmArgs> products);
void GroupedGemm(DeviceQueue& queue, const GroupedGemmArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_OPS_CUDA_LAUNCH_GEMM_H_
