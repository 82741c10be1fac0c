// An order of work on the device.
#ifndef QUIRE_CORE_CUDA_CUDA_STREAM_H_
#define QUIRE_CORE_CUDA_CUDA_STREAM_H_

#include <cuda_runtime_api.h>

#include <cstddef>

#include "core/cuda/cuda_error.h"

namespace quire {

// Owns a stream that waits for no other one.
class CudaStream {
 public:
  CudaStream() { QUIRE_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~CudaStream() { QUIRE_CUDA_CHECK(cudaStreamDestroy(stream_)); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  cudaStream_t get() const { return stream_; }

  // Until all work so far is done. Faults of its kernels show here.
  void Wait() const { QUIRE_CUDA_CHECK(cudaStreamSynchronize(stream_)); }
  // Copies behind the work so far. Host memory that is not pinned is read before it returns.
  void CopyToDevice(void* device, const void* host, size_t bytes) const {
    QUIRE_CUDA_CHECK(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_));
  }
  // Whole once Wait() has returned.
  void CopyToHost(void* host, const void* device, size_t bytes) const {
    QUIRE_CUDA_CHECK(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_));
  }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace quire

#endif  // QUIRE_CORE_CUDA_CUDA_STREAM_H_
