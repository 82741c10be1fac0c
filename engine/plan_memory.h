// What a model takes of its device's memory, worked out to the byte before any weight is read: what
// the plan says is taken at start, and nothing beside it then or later.
#ifndef QUIRE_ENGINE_PLAN_MEMORY_H_
#define QUIRE_ENGINE_PLAN_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/dtype.h"
#include "engine/backend.h"
#include "engine/executor.h"
#include "kvcache/kv_manager.h"
#include "kvcache/kv_storage.h"
#include "model/decoder.h"
#include "model/kv_groups.h"
#include "model/model_config.h"
#include "scheduler/scheduler.h"

namespace quire {

// Bytes, at most.
struct MemoryBudget {
  size_t weights = 0;
  size_t activations = 0;
  size_t rope_tables = 0;
  size_t workspace = 0;  // of ops, attention, the sampler and the executor
  size_t kv_cache = 0;
  size_t reserve = 0;                         // Backend::ReserveBytes
  size_t limit = 0;                           // what may be taken in all
  std::optional<double> gpu_memory_fraction;  // that `limit` is; none where it is of no GPU

  size_t total() const {
    return weights + activations + rope_tables + workspace + kv_cache + reserve;
  }
};

struct MemoryPlanInputs {
  const ModelConfig& config;
  DType act_dtype;
  const KvGroups& kv_groups;
  int block_tokens;
  const SchedulerConfig& scheduler;
  // Tables of sequences of up to so many tokens.
  std::function<RopeRowLayout(int64_t context)> rope_rows;
  std::optional<size_t> kv_cache_bytes;  // unset: the backend's choice
};

struct ModelMemoryPlan {
  KvManagerConfig kv;
  std::vector<KvGroupStorage> pools;
  DecoderLimits decoder;
  BatchLimits batches;
  MemoryBudget budget;
};

// Once `backend` has its ops, attention (latent attention too) and sampler, whose memory is part of
// the workspace. RESOURCE_EXHAUSTED with the numbers where it can't fit.
absl::StatusOr<ModelMemoryPlan> PlanMemory(const MemoryPlanInputs& inputs, Backend& backend);

}  // namespace quire

#endif  // QUIRE_ENGINE_PLAN_MEMORY_H_
