#include "engine/cuda/open_cuda_device.h"

#include <cuda_runtime_api.h>

#include <utility>

#include "absl/status/status.h"
#include "core/cuda/cuda_error.h"
#include "core/cuda/cuda_memory.h"
#include "core/cuda/cuda_stream.h"
#include "core/cuda/device_limits.h"
#include "core/cuda/gpu_identity.h"
#include "core/cuda/kernel_image.h"
#include "core/status_macros.h"
#include "engine/cuda/check_cuda_device.h"
#include "ops/cuda/cublas_gemm.h"

namespace quire {
namespace {

// Of the memory, this much and a hundredth stay for recorded graphs (DecodeGraphOptions::max_bytes)
// and for what the driver rounds up.
constexpr size_t kReserveBytes = size_t{512} << 20;

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

absl::StatusOr<CudaDevice> OpenCudaDevice(const BackendOptions& options) {
  CudaDevice device;
  QUIRE_ASSIGN_OR_RETURN(device.memory, CudaMemory::Make(kDevice, options.gpu_memory_fraction));
  device.rounds_buffers = true;
  device.reserve_bytes = kReserveBytes + device.memory->AvailableBytes() / 100;
  const GpuIdentity gpu = ReadGpuIdentity(kDevice);
  device.name = gpu.name;
  device.multiprocessors = gpu.multiprocessors;
  QUIRE_RETURN_IF_ERROR(
      CheckCudaDevice(device.name, ReadDeviceLimits(), HasKernelImage(), KernelArchitectures()));
  auto stream = std::make_unique<CudaStream>();
  QUIRE_ASSIGN_OR_RETURN(device.prompt_gemm,
                         MakeCublasGemm(*stream, stream->get(), *device.memory,
                                        {.max_rows = options.max_batch_tokens,
                                         .gpu = gpu,
                                         .batch_invariance = options.batch_invariance,
                                         .cache_dir = options.cache_dir,
                                         .log = options.log}));
  device.queue = std::move(stream);
  device.free_bytes = [] {
    size_t free = 0, total = 0;
    QUIRE_CUDA_CHECK(cudaMemGetInfo(&free, &total));
    return free;
  };
  return device;
}

}  // namespace quire
