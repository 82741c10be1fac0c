// Runs batches on a device. Tensor parallelism and devices with queues of their own join below this
// interface.
#ifndef QUIRE_ENGINE_EXECUTOR_H_
#define QUIRE_ENGINE_EXECUTOR_H_

#include <memory>

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

// Runs a batch on the calling thread, within Submit. The parts outlive it.
std::unique_ptr<Executor> MakeInlineExecutor(Decoder& decoder, Sampler& sampler);

}  // namespace quire

#endif  // QUIRE_ENGINE_EXECUTOR_H_
