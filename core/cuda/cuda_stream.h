// An order of work on the device.
#ifndef QUIRE_CORE_CUDA_CUDA_STREAM_H_
#define QUIRE_CORE_CUDA_CUDA_STREAM_H_

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <memory>

#include "core/cuda/device_limits.h"
#include "core/cuda/device_queue.h"

namespace quire {

// Owns a stream that waits for no other one.
class CudaStream : public DeviceQueue {
 public:
  CudaStream();
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;

  cudaStream_t get() const { return stream_; }
  // Of the device that was current when it was made.
  const DeviceLimits& limits() const { return limits_; }

  absl::StatusOr<DeviceBuffer> MakeStaging(size_t bytes) override;
  void CopyToDevice(void* device, const void* host, size_t bytes) override;
  void CopyToHost(void* host, const void* device, size_t bytes) override;
  Mark SetMark() override;
  void Await(Mark mark) override;
  absl::StatusOr<std::unique_ptr<DeviceGraph>> Record(absl::FunctionRef<void()> work) override;
  void Run(const DeviceGraph& graph) override;

 private:
  // Marks take turns on them: one that has been taken over is waited for a little too long.
  static constexpr size_t kEvents = 8;

  cudaStream_t stream_ = nullptr;
  std::array<cudaEvent_t, kEvents> events_{};
  Mark marks_ = 0;  // set so far
  DeviceLimits limits_ = ReadDeviceLimits();
};

}  // namespace quire

#endif  // QUIRE_CORE_CUDA_CUDA_STREAM_H_
