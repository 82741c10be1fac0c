#include "tests/testing/emulated_test_device.h"

#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "core/check.h"
#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "core/cuda/launch_shape.h"
#include "tests/testing/test_device.h"

namespace quire::testing {
namespace {

size_t shared_bytes = kMaxSharedBytes;

// Has no algorithm, and holds that models prepare all their products of prompt rows.
class NoPromptGemm : public PromptGemm {
 public:
  void Prepare(const CudaLinear& linear, DType out) override {
    prepared_.insert(Kind(linear, out));
  }
  bool Multiply(const CudaLinear& linear, const DeviceMatrix& x, const DeviceMatrix& y) override {
    QUIRE_CHECK(prepared_.contains(Kind(linear, y.dtype)))
        << x.rows << " rows by " << y.cols << "x" << x.cols << " are not prepared";
    return false;
  }
  bool is_batch_invariant() const override { return true; }

 private:
  using KindTuple = std::tuple<int64_t, int64_t, bool, DType, DType>;
  static KindTuple Kind(const CudaLinear& linear, DType out) {
    return {linear.out_features(), linear.in_features(), linear.bias() != nullptr,
            linear.act_dtype(), out};
  }

  std::set<KindTuple> prepared_;
};

}  // namespace

void SetEmulatedSharedBytes(size_t bytes) { shared_bytes = bytes; }

bool TestDeviceIsEmulated() { return true; }

bool HasTestDevice() { return true; }

// Races in shared memory are for the kernels' own tests: looking for them takes most of the time.
absl::StatusOr<CudaDevice> OpenTestDevice(int64_t /*max_rows*/) {
  CudaDevice device;
  device.name = "emulated";
  device.multiprocessors = 2;  // blocks of some kernels take turns
  auto memory = std::make_unique<emulation::EmulatedMemory>(size_t{2} << 30);
  device.queue = std::make_unique<emulation::EmulatedQueue>(
      emulation::EmulationOptions{.detect_races = false, .max_shared_bytes = shared_bytes});
  memory->WaitFor(*device.queue);
  device.memory = std::move(memory);
  device.prompt_gemm = std::make_unique<NoPromptGemm>();
  return device;
}

size_t TestDeviceBytesInUse() { return 0; }

}  // namespace quire::testing
