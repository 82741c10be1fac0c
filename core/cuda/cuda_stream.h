// An order of work on the device.
#ifndef QUIRE_CORE_CUDA_CUDA_STREAM_H_
#define QUIRE_CORE_CUDA_CUDA_STREAM_H_

#include <cuda_runtime_api.h>

#include <cstddef>

#include "core/cuda/cuda_error.h"
#include "core/cuda/device_limits.h"
#include "core/cuda/device_queue.h"

namespace quire {

// Owns a stream that waits for no other one.
class CudaStream : public DeviceQueue {
 public:
  CudaStream() { QUIRE_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~CudaStream() override { QUIRE_CUDA_CHECK(cudaStreamDestroy(stream_)); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  cudaStream_t get() const { return stream_; }
  // Of the device that was current when it was made.
  const DeviceLimits& limits() const { return limits_; }

  void Wait() override { QUIRE_CUDA_CHECK(cudaStreamSynchronize(stream_)); }
  void CopyToDevice(void* device, const void* host, size_t bytes) override {
    QUIRE_CUDA_CHECK(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_));
  }
  void CopyToHost(void* host, const void* device, size_t bytes) override {
    QUIRE_CUDA_CHECK(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_));
  }

 private:
  cudaStream_t stream_ = nullptr;
  DeviceLimits limits_ = ReadDeviceLimits();
};

}  // namespace quire

#endif  // QUIRE_CORE_CUDA_CUDA_STREAM_H_
