// The kernels of ops.h on the device: each call launches one, in the stream's order.
#ifndef QUIRE_OPS_CUDA_LAUNCH_KERNELS_H_
#define QUIRE_OPS_CUDA_LAUNCH_KERNELS_H_

#include <cuda_runtime_api.h>

#include "ops/cuda/kernel_args.h"

namespace quire::cuda {

void Norm(cudaStream_t stream, const NormArgs& args);
void Embed(cudaStream_t stream, const EmbedArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_OPS_CUDA_LAUNCH_KERNELS_H_
