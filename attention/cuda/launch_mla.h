// The kernels of mla.h on the device, in the queue's order.
//
// Un-absorbed attention of a batch, with ForEachMlaChunk (mla_chunks.h): for each chunk MlaGather,
// the product kv = latent [W_UK | W_UV], then MlaPrefill.
#ifndef QUIRE_ATTENTION_CUDA_LAUNCH_MLA_H_
#define QUIRE_ATTENTION_CUDA_LAUNCH_MLA_H_

#include "attention/cuda/mla_args.h"
#include "core/cuda/device_queue.h"

namespace quire::cuda {

void MlaAbsorbed(DeviceQueue& queue, const MlaAbsorbedArgs& args);
void MlaGather(DeviceQueue& queue, const MlaGatherArgs& args);
void MlaPrefill(DeviceQueue& queue, const MlaPrefillArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_ATTENTION_CUDA_LAUNCH_MLA_H_
