// The CUDA backend of sampler.h.
#ifndef QUIRE_OPS_CUDA_CUDA_SAMPLER_H_
#define QUIRE_OPS_CUDA_CUDA_SAMPLER_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "ops/sampler.h"

namespace quire {

struct CudaSamplerOptions {
  int64_t vocab_size = 0;  // at most 2^20
  // What the device takes at a time; a call with more rows takes several turns. A row that edits
  // logits (bias, bans, penalties) needs 4 V bytes of device memory for them.
  int64_t max_rows = 256;
  int64_t max_edited_rows = 16;
  int64_t max_edits = 1 << 16;  // of all rows; a row may need 3 V, which is the least
  int32_t max_top = 20;         // of Sample's top_logprobs and Score's `top`; at most 256
};

// Its work goes to `queue`, behind what is there, and is done when a call returns. Tokens and
// log-probabilities are those of the CPU's sampler, to the bit. `queue` and `memory` outlive it.
// RESOURCE_EXHAUSTED where its memory isn't to be had. One call at a time.
absl::StatusOr<std::unique_ptr<Sampler>> MakeCudaSampler(DeviceQueue& queue, DeviceMemory& memory,
                                                         const CudaSamplerOptions& options);

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_CUDA_SAMPLER_H_
