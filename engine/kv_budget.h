// How many pages each KV group gets from a budget of bytes.
#ifndef QUIRE_ENGINE_KV_BUDGET_H_
#define QUIRE_ENGINE_KV_BUDGET_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/kv_storage.h"
#include "model/kv_groups.h"
#include "scheduler/scheduler.h"

namespace quire {

// Bytes that all sequences at full length would take; more is of no use.
size_t MaxKvBytes(const KvGroups& kv_groups, const SchedulerConfig& scheduler);

// The least that works.
size_t MinKvBytes(const KvGroups& kv_groups, const SchedulerConfig& scheduler);

// Pools within `budget_bytes`: the most tokens for the full-attention groups, and for window groups
// what so many tokens keep in their window. RESOURCE_EXHAUSTED with the least budget that works
// where this one doesn't.
absl::StatusOr<std::vector<KvGroupStorage>> PlanKvBlocks(const KvGroups& kv_groups,
                                                         const SchedulerConfig& scheduler,
                                                         size_t budget_bytes);

}  // namespace quire

#endif  // QUIRE_ENGINE_KV_BUDGET_H_
