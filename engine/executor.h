// Runs batches on a device. Tensor parallelism and devices with queues of their own join below this
// interface.
#ifndef QUIRE_ENGINE_EXECUTOR_H_
#define QUIRE_ENGINE_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "engine/step_batch.h"
#include "model/decoder.h"
#include "ops/sampler.h"
#include "scheduler/step_plan.h"

namespace quire {

class Executor {
 public:
  virtual ~Executor() = default;
  // Starts a batch, which stays valid until its result has been taken. At most pipeline_depth are
  // under way.
  virtual void Submit(const StepBatch& batch) = 0;
  // Waits for the oldest batch under way. Its result stays valid until the next call of either.
  virtual const StepResult& Wait() = 0;
};

// The most that a batch brings.
struct BatchLimits {
  int64_t rows = 0;                   // T
  int64_t entries = 0;                // S
  std::vector<int64_t> table_blocks;  // per KV group, of all entries
  std::vector<int64_t> prefix_blocks;
};

// Where the arrays of a batch, which are in host memory, lie for the device.
class BatchPlacement {
 public:
  virtual ~BatchPlacement() = default;
  // Valid until the next call for another batch.
  virtual const ModelBatch& Place(const ModelBatch& batch) = 0;
  // Until the next call; rows.size() of the batch's at most.
  virtual DeviceArray<const int32_t> PlaceRows(absl::Span<const int32_t> rows) = 0;
};

// Host memory is the device's.
std::unique_ptr<BatchPlacement> MakeHostPlacement();

// Runs a batch on the calling thread, within Submit. The parts outlive it.
std::unique_ptr<Executor> MakeInlineExecutor(Decoder& decoder, Sampler& sampler,
                                             std::unique_ptr<BatchPlacement> placement);

}  // namespace quire

#endif  // QUIRE_ENGINE_EXECUTOR_H_
