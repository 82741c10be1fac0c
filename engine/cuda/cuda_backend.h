// The CUDA backend, over whatever stands for the device: a GPU (open_cuda_device.h), or the
// emulation in tests.
#ifndef QUIRE_ENGINE_CUDA_CUDA_BACKEND_H_
#define QUIRE_ENGINE_CUDA_CUDA_BACKEND_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "engine/backend.h"
#include "ops/cuda/prompt_gemm.h"

namespace quire {

// In the order in which they borrow from each other.
struct CudaDevice {
  std::string name;         // for people
  int multiprocessors = 0;  // 0: unknown
  std::unique_ptr<DeviceMemory> memory;
  std::unique_ptr<DeviceQueue> queue;
  std::unique_ptr<PromptGemm> prompt_gemm;  // or null: see CudaOpsOptions
  // Whether memory() gives small buffers more than it counts: weights are then in one piece.
  bool rounds_buffers = false;
  size_t staging_bytes = size_t{32} << 20;  // see CudaOpsOptions
  size_t reserve_bytes = 0;                 // of `memory`, which the driver may take
  std::function<size_t()> free_bytes;       // of the device, whoever takes them; or none
};

// RESOURCE_EXHAUSTED when memory ends.
absl::StatusOr<std::unique_ptr<Backend>> MakeCudaBackend(CudaDevice device,
                                                         const BackendOptions& options,
                                                         const ModelConfig& model);

}  // namespace quire

#endif  // QUIRE_ENGINE_CUDA_CUDA_BACKEND_H_
