// The CUDA backend of attention.h.
#ifndef QUIRE_ATTENTION_CUDA_CUDA_ATTENTION_H_
#define QUIRE_ATTENTION_CUDA_CUDA_ATTENTION_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "attention/attention.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"

namespace quire {

// What device memory is taken for. More is CHECKed.
struct CudaAttentionLimits {
  // Rows whose splits are computed together: of more generated rows each such part takes a turn.
  int64_t rows_at_once = 64;
  int64_t max_context = 0;   // tokens of a sequence
  int num_heads = 0;         // H
  int value_dim = 0;         // Dv
  int prefix_tokens = 0;     // of KvPrefix
  int64_t page_copies = 64;  // of a launch of CopyPages
};

// Work goes to `queue` in order, and nothing waits. `queue` and `memory` outlive it. Caches of 16,
// 32 or 64 tokens a page. RESOURCE_EXHAUSTED when memory ends. One call at a time.
absl::StatusOr<std::unique_ptr<Attention>> MakeCudaAttention(DeviceQueue& queue,
                                                             DeviceMemory& memory,
                                                             const CudaAttentionLimits& limits);

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_CUDA_ATTENTION_H_
