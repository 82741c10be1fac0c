// Times what a queue is given, and makes the memory that is timed.
#ifndef QUIRE_BENCH_GPU_TIMER_H_
#define QUIRE_BENCH_GPU_TIMER_H_

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "bench/gpu/bench_device.h"
#include "bench/gpu/report.h"
#include "core/device_memory.h"

namespace quire::gpu_bench {

// How long and how often is measured.
struct TimerOptions {
  int samples = 15;              // of which the median counts
  double sample_seconds = 2e-3;  // of one, about
  int most_calls = 200;          // in one
  size_t filler_bytes = size_t{128} << 20;
};

class Timer {
 public:
  // All outlive it.
  Timer(DeviceQueue& queue, DeviceClock& clock, DeviceMemory& memory, const TimerOptions& options);

  // Of one call of run(i), which gives the queue its work; i counts up, so that calls may rotate
  // over memory that no cache holds. Calls of a sample lie back to back on the device: a copy keeps
  // it busy until the host has given it all of them.
  Timing Time(absl::FunctionRef<void(int64_t i)> run);

  // Bytes read and written a second by a copy on the device.
  double copy_bytes_per_second() const { return copy_bytes_per_second_; }

 private:
  void KeepBusy(double seconds);

  DeviceQueue& queue_;
  DeviceClock& clock_;
  const TimerOptions options_;
  DeviceBuffer filler_;
  double copy_bytes_per_second_ = 0;
  int64_t calls_ = 0;
};

// Random numbers in device memory, in so many copies that no cache holds them all.
class RandomMemory {
 public:
  RandomMemory(DeviceMemory& memory, DeviceClock& clock, size_t cache_bytes)
      : memory_(memory), clock_(clock), cold_bytes_(4 * cache_bytes) {}

  // In [-1, 1).
  DeviceBuffer Numbers(DType dtype, int64_t count);

  // [rows, cols], dense: the i-th copy, modulo their number.
  class Matrix {
   public:
    DeviceMatrix at(int64_t i) const {
      DeviceMatrix view = view_;
      view.data = static_cast<char*>(buffer_.data()) + i % copies_ * copy_bytes_;
      return view;
    }

   private:
    friend class RandomMemory;
    DeviceBuffer buffer_;
    DeviceMatrix view_;
    int64_t copies_ = 1;
    int64_t copy_bytes_ = 0;
  };
  Matrix Rotating(DType dtype, int64_t rows, int64_t cols);

  // How many copies of `bytes` are more than a cache holds.
  int64_t Copies(double bytes) const;

  template <typename T>
  DeviceBuffer Copied(const std::vector<T>& values) {
    return CopiedBytes(values.data(), values.size() * sizeof(T));
  }

  // Whether there is: half of what is left may go into what is measured.
  bool HasRoom(double bytes) const {
    return bytes <= 0.5 * static_cast<double>(memory_.AvailableBytes());
  }

 private:
  DeviceBuffer Take(size_t bytes);
  DeviceBuffer CopiedBytes(const void* data, size_t bytes);

  DeviceMemory& memory_;
  DeviceClock& clock_;
  const size_t cold_bytes_;
};

}  // namespace quire::gpu_bench

#endif  // QUIRE_BENCH_GPU_TIMER_H_
