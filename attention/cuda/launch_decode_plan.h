// The plan of decode attention on the device (decode_plan_args.h), in the queue's order.
#ifndef QUIRE_ATTENTION_CUDA_LAUNCH_DECODE_PLAN_H_
#define QUIRE_ATTENTION_CUDA_LAUNCH_DECODE_PLAN_H_

#include "attention/cuda/decode_plan_args.h"
#include "core/cuda/device_queue.h"

namespace quire::cuda {

void PlanDecode(DeviceQueue& queue, const DecodePlanArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_ATTENTION_CUDA_LAUNCH_DECODE_PLAN_H_
