#include <cuda_runtime_api.h>

#include "core/cuda/cuda_error.h"
#include "engine/cuda/open_cuda_device.h"
#include "tests/testing/test_device.h"

namespace quire::testing {

bool TestDeviceIsEmulated() { return false; }

bool HasTestDevice() { return HasCudaDevice(); }

// Several tests may run at a time.
absl::StatusOr<CudaDevice> OpenTestDevice(int64_t max_rows) {
  BackendOptions options;
  options.gpu_memory_fraction = 0.4;
  options.max_batch_tokens = max_rows;
  return OpenCudaDevice(options);
}

size_t TestDeviceBytesInUse() {
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  QUIRE_CUDA_CHECK(cudaDeviceSynchronize());
  QUIRE_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  return total_bytes - free_bytes;
}

}  // namespace quire::testing
