// Attention of prompt rows and of encoders on the device (gqa_args.h), in the queue's order.
#ifndef QUIRE_ATTENTION_CUDA_LAUNCH_GQA_PREFILL_H_
#define QUIRE_ATTENTION_CUDA_LAUNCH_GQA_PREFILL_H_

#include "attention/cuda/gqa_args.h"
#include "core/cuda/device_queue.h"

namespace quire::cuda {

void GqaPrefill(DeviceQueue& queue, const GqaPrefillArgs& args);
void Encode(DeviceQueue& queue, const EncodeArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_ATTENTION_CUDA_LAUNCH_GQA_PREFILL_H_
