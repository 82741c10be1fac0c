// The CUDA backend of mla.h.
#ifndef QUIRE_ATTENTION_CUDA_CUDA_MLA_H_
#define QUIRE_ATTENTION_CUDA_CUDA_MLA_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "attention/mla.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"

namespace quire {

// Work goes to `queue` in order, and nothing waits. `queue` and `memory` outlive it.
// FAILED_PRECONDITION for a shape that the kernels have no room for; RESOURCE_EXHAUSTED when memory
// ends. One call at a time.
// `multiprocessors` of the device; 0: unknown.
absl::StatusOr<std::unique_ptr<Mla>> MakeCudaMla(DeviceQueue& queue, DeviceMemory& memory,
                                                 const MlaLimits& limits, int multiprocessors);

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_CUDA_MLA_H_
