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
  int64_t max_rows = 0;     // generated ones, of a batch
  int num_heads = 0;        // H; 0: no decode
  int head_dim = 0;         // D
  int value_dim = 0;        // Dv
  int multiprocessors = 0;  // of the device; 0: unknown
  // GqaDecodeMaxSplits of the longest sequence, in the layer that sees most of it.
  int64_t max_splits = 1;
  int plans = 1;  // that are kept for a batch: kinds of layers by window and prefix, and KV group
  // Of the splits of rows that decode together: where it is short they take turns.
  int64_t workspace_bytes = int64_t{128} << 20;
};

// Work goes to `queue` in order, and nothing waits. `queue` and `memory` outlive it. Caches of 16,
// 32 or 64 tokens a page. FAILED_PRECONDITION for heads wider than the kernels take,
// RESOURCE_EXHAUSTED when memory ends. One call at a time.
absl::StatusOr<std::unique_ptr<Attention>> MakeCudaAttention(DeviceQueue& queue,
                                                             DeviceMemory& memory,
                                                             const CudaAttentionLimits& limits);

}  // namespace quire

#endif  // QUIRE_ATTENTION_CUDA_CUDA_ATTENTION_H_
