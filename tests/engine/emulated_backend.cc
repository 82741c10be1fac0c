#include "tests/engine/emulated_backend.h"

#include <utility>

#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "engine/cuda/cuda_backend.h"

namespace quire {

absl::StatusOr<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options,
                                                     const ModelConfig& model) {
  return testing::MakeEmulatedCudaBackend(options, model);
}

namespace testing {

absl::StatusOr<std::unique_ptr<Backend>> MakeEmulatedCudaBackend(const BackendOptions& options,
                                                                 const ModelConfig& model) {
  CudaDevice device;
  device.name = "emulated";
  device.memory = std::make_unique<emulation::EmulatedMemory>(size_t{2} << 30);
  device.queue = std::make_unique<emulation::EmulatedQueue>(
      emulation::EmulationOptions{.detect_races = false});
  return MakeCudaBackend(std::move(device), options, model);
}

}  // namespace testing
}  // namespace quire
