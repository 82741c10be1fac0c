// The edits that sampling makes to a copy of a row of logits, in host memory.
#ifndef QUIRE_OPS_CPU_LOGIT_EDITS_H_
#define QUIRE_OPS_CPU_LOGIT_EDITS_H_

#include "absl/types/span.h"
#include "ops/sampler.h"

namespace quire {

// Applies bias, bans and penalties to y [V], which holds the row's logits, and makes NaN
// -infinity. counts [V] is all zero before and after.
void EditLogits(const SampleRow& row, absl::Span<float> y, absl::Span<int32_t> counts);

}  // namespace quire

#endif  // QUIRE_OPS_CPU_LOGIT_EDITS_H_
