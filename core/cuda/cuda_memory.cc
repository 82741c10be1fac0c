#include "core/cuda/cuda_memory.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/allocation_bytes.h"
#include "core/cuda/cuda_error.h"

namespace quire {
namespace {

struct MemoryInfo {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
};

// Of the thread's device, which is `device` from here on.
MemoryInfo ReadMemoryInfo(int device) {
  QUIRE_CUDA_CHECK(cudaSetDevice(device));
  MemoryInfo info;
  QUIRE_CUDA_CHECK(cudaMemGetInfo(&info.free_bytes, &info.total_bytes));
  return info;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CudaMemory>> CudaMemory::Make(int device, double fraction) {
  if (!(fraction > 0.0 && fraction <= 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the fraction of GPU memory is ", fraction, "; it is in (0, 1]"));
  }
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || device < 0 || device >= devices) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is no CUDA device ", device, ": ",
                     error == cudaSuccess ? absl::StrCat("the machine has ", devices)
                                          : std::string(cudaGetErrorString(error)),
                     "; use --device cpu, or look whether nvidia-smi finds the GPU"));
  }
  const auto budget =
      static_cast<size_t>(fraction * static_cast<double>(ReadMemoryInfo(device).total_bytes));
  return absl::WrapUnique(new CudaMemory(device, budget));
}

absl::StatusOr<DeviceBuffer> CudaMemory::Allocate(size_t bytes, absl::string_view purpose) {
  if (bytes == 0) return DeviceBuffer();
  if (AllocationBytes(bytes) > AvailableBytes()) return OutOfMemory(bytes, purpose);
  void* data = nullptr;
  const cudaError_t error = cudaMalloc(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it does not stick
    return OutOfMemory(bytes, purpose);
  }
  QUIRE_CUDA_CHECK(error);
  QUIRE_CUDA_CHECK(cudaMemset(data, 0, bytes));
  // The kernels' streams do not wait for the one of cudaMemset.
  QUIRE_CUDA_CHECK(cudaDeviceSynchronize());
  plan_.Add(purpose, AllocationBytes(bytes));
  return DeviceBuffer(data, bytes, [this, line = std::string(purpose)](void* buffer, size_t used) {
    QUIRE_CUDA_CHECK(cudaFree(buffer));
    plan_.Remove(line, AllocationBytes(used));
  });
}

void CudaMemory::CopyFromHost(void* device, const void* host, size_t bytes) {
  QUIRE_CUDA_CHECK(cudaSetDevice(device_));
  // Streams of kernels don't wait for this copy, so it waits for them.
  QUIRE_CUDA_CHECK(cudaDeviceSynchronize());
  QUIRE_CUDA_CHECK(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
  // From pageable memory the copy may still be on its way within the device.
  QUIRE_CUDA_CHECK(cudaDeviceSynchronize());
}

size_t CudaMemory::AvailableBytes() const {
  const size_t taken = plan_.total_bytes();
  const size_t left = budget_bytes_ > taken ? budget_bytes_ - taken : 0;
  return std::min(left, ReadMemoryInfo(device_).free_bytes);
}

absl::Status CudaMemory::OutOfMemory(size_t bytes, absl::string_view purpose) const {
  const MemoryInfo info = ReadMemoryInfo(device_);
  return absl::ResourceExhaustedError(
      absl::StrCat(purpose, " needs ", bytes, " bytes; GPU ", device_, " has ", info.total_bytes,
                   ", of which ", info.free_bytes, " are free and ", budget_bytes_,
                   " may be used; already taken: ", plan_.Describe()));
}

}  // namespace quire
