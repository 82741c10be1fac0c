// From the hidden states of a batch to its tokens: what executors share.
#ifndef QUIRE_ENGINE_TOKEN_DRAWER_H_
#define QUIRE_ENGINE_TOKEN_DRAWER_H_

#include <vector>

#include "core/device_memory.h"
#include "engine/step_batch.h"
#include "model/decoder.h"
#include "ops/sampler.h"
#include "scheduler/step_plan.h"

namespace quire {

// Draws and scores what a batch asks for, in tiles of as many logits rows as there is room for.
class TokenDrawer {
 public:
  explicit TokenDrawer(Decoder& decoder) : decoder_(decoder) {}

  // logits_rows and scored_rows: the batch's, where the decoder reads them. `result` is whole when
  // the sampler's are.
  void Run(const StepBatch& batch, DeviceArray<const int32_t> logits_rows,
           DeviceArray<const int32_t> scored_rows, Sampler& sampler, StepResult& result);

 private:
  void Draw(const StepBatch& batch, DeviceArray<const int32_t> rows, Sampler& sampler,
            StepResult& result);
  void Score(const StepBatch& batch, DeviceArray<const int32_t> rows, Sampler& sampler,
             StepResult& result);

  Decoder& decoder_;
  std::vector<SampleRow> tile_samples_;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_TOKEN_DRAWER_H_
