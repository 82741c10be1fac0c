#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "bench/gpu/bench_device.h"
#include "core/status_macros.h"
#include "core/steady_time.h"
#include "tests/testing/test_device.h"

namespace quire::gpu_bench {
namespace {

// The host does the device's work while somebody waits for it: its time is the device's.
class HostClock : public DeviceClock {
 public:
  explicit HostClock(DeviceQueue& queue) : queue_(queue) {}

  void Start() override {
    queue_.Wait();
    start_ = SteadyNow();
  }
  double Stop() override {
    queue_.Wait();
    return absl::ToDoubleSeconds(SteadyNow() - start_);
  }
  // Emulated memory is the host's.
  void Copy(void* to, const void* from, size_t bytes) override {
    queue_.Wait();
    queue_.CopyToDevice(to, from, bytes);
  }

 private:
  DeviceQueue& queue_;
  absl::Time start_;
};

}  // namespace

absl::StatusOr<BenchDevice> OpenBenchDevice(int64_t max_rows) {
  BenchDevice bench;
  QUIRE_ASSIGN_OR_RETURN(bench.device, testing::OpenTestDevice(max_rows));
  bench.clock = std::make_unique<HostClock>(*bench.device.queue);
  bench.cache_bytes = 4096;
  return bench;
}

}  // namespace quire::gpu_bench
