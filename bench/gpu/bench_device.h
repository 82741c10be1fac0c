// The device that is measured, and its clock. A program links one of two: a GPU
// (cuda/cuda_bench_device.cc), or in tests the emulation (tests/bench/emulated_bench_device.cc).
#ifndef QUIRE_BENCH_GPU_BENCH_DEVICE_H_
#define QUIRE_BENCH_GPU_BENCH_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/cuda/cuda_backend.h"

namespace quire::gpu_bench {

// Of one queue.
class DeviceClock {
 public:
  virtual ~DeviceClock() = default;
  // Marks a point behind the work so far.
  virtual void Start() = 0;
  // Marks another and waits for it: the device's seconds from one to the other.
  virtual double Stop() = 0;
  // From device memory to device memory, in the queue's order.
  virtual void Copy(void* to, const void* from, size_t bytes) = 0;
};

struct BenchDevice {
  CudaDevice device;
  std::unique_ptr<DeviceClock> clock;  // of device.queue, which outlives it
  size_t cache_bytes = 0;              // L2
};

// FAILED_PRECONDITION where there is no device. For batches of max_rows rows.
absl::StatusOr<BenchDevice> OpenBenchDevice(int64_t max_rows);

}  // namespace quire::gpu_bench

#endif  // QUIRE_BENCH_GPU_BENCH_DEVICE_H_
