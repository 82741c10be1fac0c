// MakeBackend of programs that link this in the place of engine/make_backend.cc: the CUDA backend
// over the emulation of its device, whatever the options say.
#include "tests/engine/emulated_backend.h"

#include <memory>
#include <set>
#include <tuple>
#include <utility>

#include "core/check.h"
#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "core/cuda/launch_shape.h"
#include "engine/cuda/cuda_backend.h"

namespace quire {
namespace {

size_t shared_bytes = kMaxSharedBytes;

}  // namespace

namespace testing {

std::atomic<emulation::EmulatedQueue*> latest_emulated_queue = nullptr;

void SetEmulatedSharedBytes(size_t bytes) { shared_bytes = bytes; }

}  // namespace testing

namespace {

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

// Races in shared memory are for the kernels' own tests: looking for them takes most of the time.
absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const ModelConfig& model) {
  CudaDevice device;
  device.name = "emulated";
  device.multiprocessors = 2;  // blocks of some kernels take turns
  auto memory = std::make_unique<emulation::EmulatedMemory>(size_t{2} << 30);
  device.queue = std::make_unique<emulation::EmulatedQueue>(
      emulation::EmulationOptions{.detect_races = false, .max_shared_bytes = shared_bytes});
  testing::latest_emulated_queue = static_cast<emulation::EmulatedQueue*>(device.queue.get());
  memory->WaitFor(*device.queue);
  device.memory = std::move(memory);
  device.prompt_gemm = std::make_unique<NoPromptGemm>();
  return MakeCudaBackend(std::move(device), options, model);
}

}  // namespace quire
