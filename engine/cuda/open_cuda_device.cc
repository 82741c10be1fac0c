#include "engine/cuda/open_cuda_device.h"

#include <cuda_runtime_api.h>

#include <utility>

#include "absl/status/status.h"
#include "core/cuda/cuda_error.h"
#include "core/cuda/cuda_memory.h"
#include "core/cuda/cuda_stream.h"
#include "core/cuda/device_limits.h"
#include "core/cuda/kernel_image.h"
#include "core/status_macros.h"
#include "engine/cuda/check_cuda_device.h"
#include "ops/cuda/cublas_gemm.h"

namespace quire {
namespace {

constexpr int kDevice = 0;  // of those that CUDA_VISIBLE_DEVICES leaves

}  // namespace

bool HasCudaDevice() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess) {
    cudaGetLastError();  // it does not stick
    return false;
  }
  return devices > kDevice &&
         CheckCudaDevice("", ReadDeviceLimits(), /*has_kernels=*/true, "").ok();
}

absl::StatusOr<CudaDevice> OpenCudaDevice(double memory_fraction, int64_t max_rows) {
  CudaDevice device;
  QUIRE_ASSIGN_OR_RETURN(device.memory, CudaMemory::Make(kDevice, memory_fraction));
  cudaDeviceProp properties;
  QUIRE_CUDA_CHECK(cudaGetDeviceProperties(&properties, kDevice));
  device.name = properties.name;
  device.multiprocessors = properties.multiProcessorCount;
  QUIRE_RETURN_IF_ERROR(
      CheckCudaDevice(device.name, ReadDeviceLimits(), HasKernelImage(), KernelArchitectures()));
  auto stream = std::make_unique<CudaStream>();
  QUIRE_ASSIGN_OR_RETURN(device.prompt_gemm, MakeCublasGemm(*stream, *device.memory, max_rows));
  device.queue = std::move(stream);
  device.free_bytes = [] {
    size_t free = 0, total = 0;
    QUIRE_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return free;
  };
  return device;
}

}  // namespace quire
