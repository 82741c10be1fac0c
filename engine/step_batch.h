// A plan in the form that an executor runs: arrays, and the rows to draw and to score.
#ifndef QUIRE_ENGINE_STEP_BATCH_H_
#define QUIRE_ENGINE_STEP_BATCH_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/ids.h"
#include "model/model_batch.h"
#include "ops/sampler.h"

namespace quire {

// The sum of hidden states to add rows [first_row, first_row + count) to, in their order.
struct PoolSpan {
  int32_t first_row = 0;
  int32_t count = 0;
  absl::Span<float> sum;  // [E]
};

struct StepBatch {
  ModelBatch model;
  // [T], or empty where the host knows all token ids: the draw of the batch before that makes a
  // row's token, or -1.
  std::vector<int32_t> token_sources;
  // Rows of the batch whose logits the samples read; SampleRow::logits_row indexes it. Samples are
  // in ascending order of logits_row.
  std::vector<int32_t> logits_rows;
  std::vector<SampleRow> samples;
  // Prompt rows to score: row scored_rows[i] against the token scored_targets[i], with
  // scored_top[i] likeliest tokens beside it.
  std::vector<int32_t> scored_rows;
  std::vector<TokenId> scored_targets;
  std::vector<int32_t> scored_top;
  std::vector<PoolSpan> pooled;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_STEP_BATCH_H_
