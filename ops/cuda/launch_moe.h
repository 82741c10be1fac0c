// The kernels of ops/cuda/router.cuh and experts.cuh on the device, in the queue's order: each call
// launches one, a sort of many pairs two.
#ifndef QUIRE_OPS_CUDA_LAUNCH_MOE_H_
#define QUIRE_OPS_CUDA_LAUNCH_MOE_H_

#include "core/cuda/device_queue.h"
#include "ops/cuda/moe_args.h"

namespace quire::cuda {

void RouteRows(DeviceQueue& queue, const RouteRowsArgs& args);
void SortPairs(DeviceQueue& queue, const SortPairsArgs& args);
void CombineExperts(DeviceQueue& queue, const CombineExpertsArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_OPS_CUDA_LAUNCH_MOE_H_
