#include "engine/cuda/open_cuda_device.h"

#include <cuda_runtime_api.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/cuda/cuda_error.h"
#include "core/cuda/cuda_memory.h"
#include "core/cuda/cuda_stream.h"
#include "core/status_macros.h"
#include "ops/cuda/cublas_gemm.h"

namespace quire {
namespace {

constexpr int kDevice = 0;  // of those that CUDA_VISIBLE_DEVICES leaves

// Of compute capability 8.0: mma.sync of bf16, cp.async.
constexpr int kLeastMajor = 8;

}  // namespace

bool HasCudaDevice() {
  int major = 0;
  const cudaError_t error =
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, kDevice);
  if (error != cudaSuccess) cudaGetLastError();  // it does not stick
  return error == cudaSuccess && major >= kLeastMajor;
}

absl::StatusOr<CudaDevice> OpenCudaDevice(double memory_fraction, int64_t max_rows) {
  CudaDevice device;
  QUIRE_ASSIGN_OR_RETURN(device.memory, CudaMemory::Make(kDevice, memory_fraction));
  cudaDeviceProp properties;
  QUIRE_CUDA_CHECK(cudaGetDeviceProperties(&properties, kDevice));
  device.name = properties.name;
  device.multiprocessors = properties.multiProcessorCount;
  if (properties.major < kLeastMajor) {
    return absl::FailedPreconditionError(
        absl::StrCat(device.name, " has compute capability ", properties.major, ".",
                     properties.minor, "; the CUDA backend needs 8.0 or newer: use --device cpu"));
  }
  auto stream = std::make_unique<CudaStream>();
  QUIRE_ASSIGN_OR_RETURN(device.prompt_gemm, MakeCublasGemm(*stream, *device.memory, max_rows));
  device.queue = std::move(stream);
  return device;
}

}  // namespace quire
