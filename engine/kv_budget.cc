#include "engine/kv_budget.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "core/ceil_div.h"

namespace quire {
namespace {

// Pools with which sequences of `tokens` tokens in all fit.
std::vector<KvGroupStorage> PoolsFor(const KvGroups& kv_groups, const SchedulerConfig& scheduler,
                                     int64_t tokens) {
  std::vector<KvGroupStorage> pools;
  for (const KvGroup& group : kv_groups.groups) {
    const int block_tokens = group.layout.block_tokens;
    int64_t blocks = CeilDiv(tokens, block_tokens);
    if (group.window > 0) {
      // Each sequence keeps its sinks, its window, and a page that it has begun; chunks come on
      // top.
      const int64_t sinks = CeilDiv(group.sinks, block_tokens);
      const int64_t windows =
          scheduler.max_num_sequences * (sinks + CeilDiv(group.window, block_tokens) + 1) +
          CeilDiv(scheduler.pipeline_depth * scheduler.max_batch_tokens, block_tokens);
      const int64_t least =
          Scheduler::MinWindowBlocks(scheduler, group.window, group.sinks, block_tokens);
      blocks = std::max(std::min(blocks, windows), least);
    }
    pools.push_back(
        {.layout = group.layout,
         .num_layers = static_cast<int>(group.layers.size()),
         .num_blocks = static_cast<int32_t>(blocks),
         .shared_blocks = static_cast<int32_t>(CeilDiv(kv_groups.sink_tokens, block_tokens)),
         .padding_blocks = kv_groups.padding_blocks});
  }
  return pools;
}

// What all sequences at full length hold, as far as block ids reach.
int64_t MaxTokens(const KvGroups& kv_groups, const SchedulerConfig& scheduler) {
  const int64_t block_tokens = kv_groups.groups.front().layout.block_tokens;
  return std::min(scheduler.max_num_sequences * scheduler.context_tokens,
                  std::numeric_limits<int32_t>::max() * block_tokens);
}

}  // namespace

size_t MaxKvBytes(const KvGroups& kv_groups, const SchedulerConfig& scheduler) {
  if (kv_groups.groups.empty()) return 0;
  return KvStorage::Bytes(PoolsFor(kv_groups, scheduler, MaxTokens(kv_groups, scheduler)));
}

size_t MinKvBytes(const KvGroups& kv_groups, const SchedulerConfig& scheduler) {
  if (kv_groups.groups.empty()) return 0;
  return KvStorage::Bytes(
      PoolsFor(kv_groups, scheduler, kv_groups.groups.front().layout.block_tokens));
}

absl::StatusOr<std::vector<KvGroupStorage>> PlanKvBlocks(const KvGroups& kv_groups,
                                                         const SchedulerConfig& scheduler,
                                                         size_t budget_bytes) {
  if (kv_groups.groups.empty()) return std::vector<KvGroupStorage>{};
  const int block_tokens = kv_groups.groups.front().layout.block_tokens;
  const auto bytes_for = [&](int64_t blocks) {
    return KvStorage::Bytes(PoolsFor(kv_groups, scheduler, blocks * block_tokens));
  };
  int64_t low = 1;
  if (bytes_for(low) > budget_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "a KV cache of ", budget_bytes, " bytes is too small: the least that works is ",
        bytes_for(low), " bytes (--kv-cache-bytes)"));
  }
  int64_t high = CeilDiv(MaxTokens(kv_groups, scheduler), block_tokens);
  while (low < high) {  // the most blocks that fit, in [low, high]
    const int64_t middle = (low + high + 1) / 2;
    if (bytes_for(middle) <= budget_bytes) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return PoolsFor(kv_groups, scheduler, low * block_tokens);
}

}  // namespace quire
