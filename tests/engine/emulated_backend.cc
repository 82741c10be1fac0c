// MakeBackend of programs that link this in the place of engine/make_backend.cc: the CUDA backend
// over the emulation of its device, whatever the options say.
#include "tests/engine/emulated_backend.h"

#include <memory>
#include <utility>

#include "core/status_macros.h"
#include "engine/cuda/cuda_backend.h"
#include "tests/testing/test_device.h"

namespace quire {
namespace testing {

std::atomic<emulation::EmulatedQueue*> latest_emulated_queue = nullptr;

}  // namespace testing

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const ModelConfig& model) {
  QUIRE_ASSIGN_OR_RETURN(CudaDevice device, testing::OpenTestDevice(options.max_batch_tokens));
  testing::latest_emulated_queue = static_cast<emulation::EmulatedQueue*>(device.queue.get());
  return MakeCudaBackend(std::move(device), options, model);
}

}  // namespace quire
