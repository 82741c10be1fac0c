#include "core/cuda/kernel_image.h"

#include <cuda_runtime_api.h>

#include "core/cuda/cuda_error.h"
#include "core/cuda/primitives/target.cuh"

namespace quire {
namespace {

// All kernels are compiled for the same list, so one speaks for all.
QUIRE_KERNEL(32, 1) void AnyKernel() {}

}  // namespace

bool HasKernelImage() {
  cudaFuncAttributes attributes;
  const cudaError_t error =
      cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&AnyKernel));
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();  // it does not stick
    return false;
  }
  QUIRE_CUDA_CHECK(error);
  return true;
}

const char* KernelArchitectures() { return QUIRE_KERNEL_ARCHITECTURES; }

}  // namespace quire
