// The kernels of sampler.h on the device: each call launches one, in the queue's order.
#ifndef QUIRE_OPS_CUDA_LAUNCH_SAMPLER_H_
#define QUIRE_OPS_CUDA_LAUNCH_SAMPLER_H_

#include "core/cuda/device_queue.h"
#include "ops/cuda/sampler_args.h"

namespace quire::cuda {

void EditLogits(DeviceQueue& queue, const EditLogitsArgs& args);
void TakeDrawn(DeviceQueue& queue, const TakeDrawnArgs& args);
void Draw(DeviceQueue& queue, const DrawArgs& args);
void Score(DeviceQueue& queue, const ScoreArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_OPS_CUDA_LAUNCH_SAMPLER_H_
