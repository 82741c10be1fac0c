// Runs batches on a device. Tensor parallelism and devices with queues of their own join below this
// interface.
#ifndef QUIRE_ENGINE_EXECUTOR_H_
#define QUIRE_ENGINE_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/step_batch.h"
#include "model/decoder.h"
#include "ops/sampler.h"
#include "scheduler/step_plan.h"

namespace quire {

class Executor {
 public:
  virtual ~Executor() = default;
  // Starts a batch. What it borrows from sequences is read before this returns; its own arrays stay
  // until its result has been taken. At most pipeline_depth are under way.
  virtual void Submit(const StepBatch& batch) = 0;
  // Waits for the oldest batch under way. Its result stays valid until the next call of either.
  virtual const StepResult& Wait() = 0;
  // What it made ready at start, for people; or nothing.
  virtual std::string Describe() const { return ""; }
};

// The most that batches bring.
struct BatchLimits {
  int64_t rows = 0;     // T
  int64_t entries = 0;  // S
  int64_t max_sequences = 0;
  int64_t context = 0;  // tokens of a sequence
  int block_tokens = 0;
  struct Group {
    int64_t table_blocks = 0;   // of all entries
    int64_t decode_blocks = 0;  // of an entry of one generated row
    int64_t prefix_blocks = 0;  // of an entry
    int64_t pool_tokens = 0;    // that all sequences have, unless they share
    bool has_window = false;
    int32_t padding_block = 0;  // Backend::pads_batches: a block that no sequence has
  };
  std::vector<Group> groups;  // KV groups
};

// Runs a batch on the calling thread, within Submit; memory of the host is the device's. The parts
// outlive it.
std::unique_ptr<Executor> MakeInlineExecutor(Decoder& decoder, Sampler& sampler);

}  // namespace quire

#endif  // QUIRE_ENGINE_EXECUTOR_H_
