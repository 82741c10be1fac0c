// Decode attention on the device (gqa_decode_args.h), in the queue's order.
#ifndef QUIRE_ATTENTION_CUDA_LAUNCH_GQA_DECODE_H_
#define QUIRE_ATTENTION_CUDA_LAUNCH_GQA_DECODE_H_

#include "attention/cuda/gqa_decode_args.h"
#include "core/cuda/device_queue.h"

namespace quire::cuda {

// Behind PlanDecode (launch_decode_plan.h).
void GqaDecode(DeviceQueue& queue, const GqaDecodeArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_ATTENTION_CUDA_LAUNCH_GQA_DECODE_H_
