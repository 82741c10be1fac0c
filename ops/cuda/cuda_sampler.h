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
  // Sequences whose penalties' counts stay on the device, of 4 V bytes each (V in fours), all of it
  // taken at the start; at least max_edited_rows. Where more draw in turns, each is counted anew at
  // each of its tokens. (The CUDA backend asks for at most 256 MiB.)
  int64_t penalty_rows = 16;
  int32_t max_top = 20;      // of Sample's top_logprobs and Score's `top`; at most 256
  int slots = 1;             // batches that overlap
  int64_t max_draws = 1024;  // of a batch
};

// Its work goes to a queue, behind what is there. Tokens and log-probabilities are those of the
// CPU's sampler, to the bit. Sample and Score of its own (those of slot 0) wait for their results.
// One call at a time.
class CudaSampler : public Sampler {
 public:
  // A batch begins, in a slot whose last batch was collected. Rows of it may read tokens of the
  // batch that was begun before (SampleRow::pending).
  virtual void BeginBatch(int slot) = 0;
  // Sample and Score of the slot's batch. They read what they are given before they return;
  // `results` are whole once it was collected. They wait where a batch's records don't fit.
  virtual Sampler& slot(int slot) = 0;
  // Behind the end of the work.
  virtual void Collect(int slot) = 0;
  // What the slot's batch draws, in order, on the device: an id, or -1 for none.
  virtual const int32_t* drawn(int slot) const = 0;
};

// `queue` and `memory` outlive it. RESOURCE_EXHAUSTED where its memory isn't to be had.
absl::StatusOr<std::unique_ptr<CudaSampler>> MakeCudaSampler(DeviceQueue& queue,
                                                             DeviceMemory& memory,
                                                             const CudaSamplerOptions& options);

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_CUDA_SAMPLER_H_
