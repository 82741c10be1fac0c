// What one step computes: made by Scheduler::Plan, read by the batch builder, given back with the
// results to Scheduler::Commit.
#ifndef QUIRE_SCHEDULER_STEP_PLAN_H_
#define QUIRE_SCHEDULER_STEP_PLAN_H_

#include <cstdint>
#include <vector>

#include "core/ids.h"
#include "core/sampling_params.h"
#include "kvcache/kv_manager.h"
#include "scheduler/sequence.h"

namespace quire {

// Which kernels compute a row: by its position alone, so that recomputing gives the same bits.
enum class RowKind : uint8_t {
  kGenerated,  // positions >= Sequence::prompt_rows
  kPrompt,
};

// Rows [begin, end) of one sequence, all of one kind.
struct PlanEntry {
  Sequence* sequence = nullptr;
  int64_t begin = 0;
  int64_t end = 0;
  RowKind kind = RowKind::kPrompt;
  uint32_t epoch = 0;
  int32_t first_row = 0;  // of the batch
};

// One token to draw. Forks of one prompt share a logits row.
struct PlanSample {
  Sequence* sequence = nullptr;
  int64_t position = 0;    // of the token drawn; its logits come from the row at position - 1
  int32_t logits_row = 0;  // index into StepPlan::logits_rows
  uint32_t epoch = 0;
};

// A prompt row whose logits score the prompt's own next token.
struct PromptLogprobRow {
  Sequence* sequence = nullptr;
  int64_t position = 0;  // of the scored token
  int32_t row = 0;       // of the batch
};

// Rows [first_row, first_row + count) of the batch, to be added to LiveRequest::pool_sum.
struct PooledRows {
  LiveRequest* request = nullptr;
  int32_t entry = 0;  // of the plan as it is being made
  int32_t first_row = 0;
  int32_t count = 0;
};

struct StepPlan {
  PlanId id;
  // Entries of generated rows first, then prompt rows. At most two per sequence.
  std::vector<PlanEntry> entries;
  std::vector<PageCopy> copies;      // before any row is written
  std::vector<int32_t> logits_rows;  // rows of the batch that samples read
  std::vector<PlanSample> samples;
  std::vector<PromptLogprobRow> prompt_logprobs;
  std::vector<PooledRows> pooled;
  int32_t num_rows = 0;
  int32_t num_generated_rows = 0;  // rows [0, n) of the batch

  bool empty() const { return entries.empty(); }
};

// What the executor made of a plan.
struct StepResult {
  std::vector<SampledToken> samples;           // in the order of StepPlan::samples
  std::vector<TokenLogprobs> prompt_logprobs;  // in the order of StepPlan::prompt_logprobs
};

}  // namespace quire

#endif  // QUIRE_SCHEDULER_STEP_PLAN_H_
