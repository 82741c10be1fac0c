// Which elements of a row of logits sampling changes: what backends share of it.
#ifndef QUIRE_OPS_LOGIT_EDITS_H_
#define QUIRE_OPS_LOGIT_EDITS_H_

#include <cstdint>

#include "absl/types/span.h"
#include "ops/sampler.h"

namespace quire {

// Whether y differs from the logits (NaN aside).
inline bool EditsLogits(const SampleRow& row) {
  return !row.params->logit_bias.empty() || !row.banned.empty() || row.params->HasPenalties();
}

// Calls visit(id, count in the output) once for each id that the penalties change. counts [V] is
// all zero before and after.
template <typename Visit>
void ForEachPenalised(const SampleRow& row, absl::Span<int32_t> counts, Visit visit) {
  if (!row.params->HasPenalties()) return;
  // counts[id] becomes -1 once the id is done.
  for (TokenId id : row.output) ++counts[id];
  for (TokenId id : row.output) {
    if (counts[id] <= 0) continue;
    visit(id, counts[id]);
    counts[id] = -1;
  }
  if (row.params->repetition_penalty != 1.0F) {  // all that the prompt has a part in
    for (TokenId id : row.prompt) {
      if (counts[id] < 0) continue;
      visit(id, 0);
      counts[id] = -1;
    }
    for (TokenId id : row.prompt) counts[id] = 0;
  }
  for (TokenId id : row.output) counts[id] = 0;
}

}  // namespace quire

#endif  // QUIRE_OPS_LOGIT_EDITS_H_
