#include "bench/gpu/timer.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "absl/time/time.h"
#include "core/check.h"
#include "core/elements.h"
#include "core/steady_time.h"

namespace quire::gpu_bench {
namespace {

constexpr int kWarmUps = 3;

DeviceBuffer TakeFrom(DeviceMemory& memory, size_t bytes) {
  auto buffer = memory.Allocate(std::max<size_t>(bytes, 1), "benchmark");
  QUIRE_CHECK(buffer.ok()) << buffer.status();
  return *std::move(buffer);
}

Timing Summary(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

}  // namespace

Timer::Timer(DeviceQueue& queue, DeviceClock& clock, DeviceMemory& memory,
             const TimerOptions& options)
    : queue_(queue),
      clock_(clock),
      options_(options),
      filler_(TakeFrom(memory, 2 * options.filler_bytes)) {
  const auto copy = [&] {
    clock_.Copy(static_cast<char*>(filler_.data()) + options_.filler_bytes, filler_.data(),
                options_.filler_bytes);
  };
  for (int i = 0; i < kWarmUps; ++i) copy();
  queue_.Wait();
  std::vector<double> seconds;
  for (int sample = 0; sample < options_.samples; ++sample) {
    constexpr int kCopies = 8;
    clock_.Start();
    for (int i = 0; i < kCopies; ++i) copy();
    seconds.push_back(clock_.Stop() / kCopies);
  }
  copy_bytes_per_second_ =
      2 * static_cast<double>(options_.filler_bytes) / Summary(std::move(seconds)).median;
}

void Timer::KeepBusy(double seconds) {
  const double one = 2 * static_cast<double>(options_.filler_bytes) / copy_bytes_per_second_;
  const int copies = static_cast<int>(std::clamp(std::ceil(seconds / one), 1.0, 400.0));
  for (int i = 0; i < copies; ++i) {
    clock_.Copy(static_cast<char*>(filler_.data()) + options_.filler_bytes, filler_.data(),
                options_.filler_bytes);
  }
}

Timing Timer::Time(absl::FunctionRef<void(int64_t i)> run) {
  for (int i = 0; i < kWarmUps; ++i) run(calls_++);
  queue_.Wait();
  const absl::Time begin = SteadyNow();
  clock_.Start();
  for (int i = 0; i < kWarmUps; ++i) run(calls_++);
  const double host_seconds = absl::ToDoubleSeconds(SteadyNow() - begin) / kWarmUps;
  const double device_seconds = std::max(clock_.Stop() / kWarmUps, 1e-7);
  const auto calls = static_cast<int64_t>(
      std::clamp(options_.sample_seconds / device_seconds, 1.0, double(options_.most_calls)));
  std::vector<double> seconds;
  for (int sample = 0; sample < options_.samples; ++sample) {
    KeepBusy(1.5 * host_seconds * static_cast<double>(calls));
    clock_.Start();
    for (int64_t i = 0; i < calls; ++i) run(calls_++);
    seconds.push_back(clock_.Stop() / static_cast<double>(calls));
  }
  return Summary(std::move(seconds));
}

DeviceBuffer RandomMemory::Take(size_t bytes) { return TakeFrom(memory_, bytes); }

DeviceBuffer RandomMemory::CopiedBytes(const void* data, size_t bytes) {
  DeviceBuffer buffer = Take(bytes);
  if (bytes > 0) memory_.CopyFromHost(buffer.data(), data, bytes);
  return buffer;
}

// A few million come from the host, the others are copies of them.
DeviceBuffer RandomMemory::Numbers(DType dtype, int64_t count) {
  constexpr int64_t kFromHost = 1 << 22;
  const int64_t first = std::min(count, kFromHost);
  std::vector<char> host(first * DTypeBytes(dtype));
  std::mt19937 random(1);
  for (int64_t i = 0; i < first; ++i) {
    StoreElement(host.data(), dtype, i,
                 static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31F);
  }
  DeviceBuffer buffer = Take(count * DTypeBytes(dtype));
  memory_.CopyFromHost(buffer.data(), host.data(), host.size());
  char* const data = static_cast<char*>(buffer.data());
  const size_t bytes = count * DTypeBytes(dtype);
  for (size_t done = host.size(); done < bytes;) {
    const size_t some = std::min(done, bytes - done);
    clock_.Copy(data + done, data, some);
    done += some;
  }
  return buffer;
}

int64_t RandomMemory::Copies(double bytes) const {
  const double copies = std::ceil(static_cast<double>(cold_bytes_) / std::max(bytes, 1.0));
  return static_cast<int64_t>(std::clamp(copies, 1.0, 64.0));
}

RandomMemory::Matrix RandomMemory::Rotating(DType dtype, int64_t rows, int64_t cols) {
  Matrix matrix;
  // Copies begin where kernels like it.
  const auto bytes = rows * cols * static_cast<int64_t>(DTypeBytes(dtype));
  matrix.copy_bytes_ = (bytes + 255) / 256 * 256;
  matrix.copies_ = Copies(static_cast<double>(bytes));
  matrix.buffer_ =
      Numbers(dtype, matrix.copies_ * matrix.copy_bytes_ / static_cast<int64_t>(DTypeBytes(dtype)));
  matrix.view_ = {nullptr, dtype, rows, cols, cols};
  return matrix;
}

}  // namespace quire::gpu_bench
