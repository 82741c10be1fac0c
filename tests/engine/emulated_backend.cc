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
std::atomic<emulation::EmulatedMemory*> latest_emulated_memory = nullptr;

}  // namespace testing

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const ModelConfig& model) {
  QUIRE_ASSIGN_OR_RETURN(CudaDevice device, testing::OpenTestDevice(options.max_batch_tokens));
  auto memory = std::make_unique<emulation::EmulatedMemory>(
      static_cast<size_t>(options.gpu_memory_fraction * testing::kEmulatedMemoryBytes));
  testing::latest_emulated_queue = static_cast<emulation::EmulatedQueue*>(device.queue.get());
  testing::latest_emulated_memory = memory.get();
  memory->WaitFor(*device.queue);
  device.memory = std::move(memory);
  device.staging_bytes = 20000;  // weights take many turns
  return MakeCudaBackend(std::move(device), options, model);
}

}  // namespace quire
