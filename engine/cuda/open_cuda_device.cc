#include "engine/cuda/open_cuda_device.h"

#include <cuda_runtime_api.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/cuda/cuda_error.h"
#include "core/cuda/cuda_memory.h"
#include "core/cuda/cuda_stream.h"
#include "core/cuda/launch_shape.h"
#include "core/status_macros.h"
#include "ops/cuda/cublas_gemm.h"

namespace quire {
namespace {

constexpr int kDevice = 0;  // of those that CUDA_VISIBLE_DEVICES leaves

// The widest heads' tiles take that much of a block's shared memory: H100 and H200 have it, A100
// and what is made for graphics have not.
bool HasRoomForKernels() {
  int bytes = 0;
  const cudaError_t error =
      cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, kDevice);
  if (error != cudaSuccess) cudaGetLastError();  // it does not stick
  return error == cudaSuccess && bytes >= static_cast<int>(kMaxSharedBytes);
}

}  // namespace

bool HasCudaDevice() { return HasRoomForKernels(); }

absl::StatusOr<CudaDevice> OpenCudaDevice(double memory_fraction, int64_t max_rows) {
  CudaDevice device;
  QUIRE_ASSIGN_OR_RETURN(device.memory, CudaMemory::Make(kDevice, memory_fraction));
  cudaDeviceProp properties;
  QUIRE_CUDA_CHECK(cudaGetDeviceProperties(&properties, kDevice));
  device.name = properties.name;
  device.multiprocessors = properties.multiProcessorCount;
  if (!HasRoomForKernels()) {
    return absl::FailedPreconditionError(
        absl::StrCat(device.name, " has ", properties.sharedMemPerBlockOptin,
                     " bytes of shared memory a block; the CUDA backend needs ", kMaxSharedBytes,
                     " (compute capability 9.0 or 10.0): use --device cpu"));
  }
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
