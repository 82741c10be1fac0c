#include "engine/plan_memory.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/ceil_div.h"
#include "core/status_macros.h"
#include "engine/kv_budget.h"
#include "model/weight_source.h"
#include "model/weights.h"

namespace quire {
namespace {

// Logits of this many rows at a time: as many as decode together, within 64 MiB or so.
int64_t LogitsRows(const ModelConfig& config, int max_num_sequences) {
  const int64_t affordable = (int64_t{64} << 20) / (config.vocab_size * int64_t{sizeof(float)});
  return std::clamp<int64_t>(max_num_sequences, 1, std::max<int64_t>(16, affordable));
}

HashKey RandomHashKey() {
  std::random_device random;
  const auto word = [&] { return uint64_t{random()} << 32 | random(); };
  return {word(), word()};
}

// An entry is of prompt rows or of generated ones: a sequence brings both where it is computed
// again.
BatchLimits LimitBatches(const SchedulerConfig& scheduler, const KvManager& kv,
                         const std::vector<KvGroupStorage>& pools) {
  const int64_t block_tokens = kv.config().block_tokens;
  BatchLimits limits{.rows = scheduler.max_batch_tokens,
                     .entries = std::min<int64_t>(scheduler.max_batch_tokens,
                                                  2 * int64_t{scheduler.max_num_sequences}),
                     .max_sequences = scheduler.max_num_sequences,
                     .context = std::min(scheduler.context_tokens, kv.MaxSequenceTokens()),
                     .block_tokens = kv.config().block_tokens};
  for (size_t group = 0; group < pools.size(); ++group) {
    const KvGroupConfig& config = kv.config().groups[group];
    const int64_t whole =
        std::min<int64_t>(config.num_blocks, CeilDiv(limits.context, block_tokens));
    BatchLimits::Group most{.table_blocks = limits.entries * whole,
                            .decode_blocks = whole,
                            .prefix_blocks = CeilDiv(config.sinks, block_tokens),
                            .pool_tokens = config.num_blocks * block_tokens,
                            .has_window = config.window > 0,
                            .padding_block = static_cast<int32_t>(pools[group].total_blocks() - 1)};
    if (config.window > 0) {  // of which rows see pages that begin and end anywhere
      most.decode_blocks = std::min(whole, CeilDiv(config.window, block_tokens) + 1);
      most.table_blocks = std::min(most.table_blocks, limits.entries * (most.decode_blocks + 1) +
                                                          CeilDiv(limits.rows, block_tokens));
    }
    limits.groups.push_back(most);
  }
  return limits;
}

KvManagerConfig ManagerConfig(const KvGroups& kv_groups, const std::vector<KvGroupStorage>& pools,
                              int block_tokens, HashKey hash_key) {
  KvManagerConfig kv;
  kv.block_tokens = block_tokens;
  kv.hash_key = hash_key;
  for (size_t group = 0; group < pools.size(); ++group) {
    kv.groups.push_back({.window = kv_groups.groups[group].window,
                         .sinks = kv_groups.groups[group].sinks,
                         .num_blocks = pools[group].num_blocks});
  }
  return kv;
}

std::string Mebibytes(size_t bytes) { return absl::StrCat((bytes + (1 << 20) - 1) >> 20, " MiB"); }

absl::Status Refusal(const MemoryBudget& budget) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "the model does not fit: weights ", Mebibytes(budget.weights), " + activations ",
      Mebibytes(budget.activations), " + rope tables ", Mebibytes(budget.rope_tables),
      " + workspace ", Mebibytes(budget.workspace), " + KV cache ", Mebibytes(budget.kv_cache),
      budget.reserve > 0 ? absl::StrCat(" + reserve ", Mebibytes(budget.reserve)) : "", " = ",
      Mebibytes(budget.total()), " (", budget.total(), " bytes), but ", Mebibytes(budget.limit),
      " (", budget.limit,
      " bytes) are available; lower --kv-cache-bytes or --max-batch-tokens, or use a smaller "
      "model"));
}

class MemoryPlanner {
 public:
  MemoryPlanner(const MemoryPlanInputs& inputs, Backend& backend)
      : inputs_(inputs), backend_(backend), hash_key_(RandomHashKey()) {}

  // Weights and what was taken before.
  absl::Status CountFixed() {
    const std::unique_ptr<WeightSizer> sizer = backend_.MakeWeightSizer();
    const std::unique_ptr<WeightSource> shapes = WeightShapes(inputs_.config);
    QUIRE_RETURN_IF_ERROR(
        LoadWeights(inputs_.config, inputs_.act_dtype, *shapes, *sizer, LoadProgress()).status());
    fixed_.weights = sizer->weight_bytes();
    size_t taken = 0;
    for (const MemoryUse& use : backend_.memory().Plan()) taken += use.bytes;
    fixed_.workspace = taken + sizer->workspace_bytes();
    fixed_.reserve = backend_.ReserveBytes();
    fixed_.gpu_memory_fraction = backend_.gpu_memory_fraction();
    fixed_.limit = taken + backend_.memory().AvailableBytes();
    return absl::OkStatus();
  }

  // With a cache of `kv_bytes`. The larger the cache, the more all else takes too.
  absl::StatusOr<ModelMemoryPlan> With(size_t kv_bytes) const {
    const SchedulerConfig& scheduler = inputs_.scheduler;
    ModelMemoryPlan plan;
    plan.budget = fixed_;
    plan.decoder.max_batch_tokens = scheduler.max_batch_tokens;
    plan.decoder.max_logits_rows = LogitsRows(inputs_.config, scheduler.max_num_sequences);
    QUIRE_ASSIGN_OR_RETURN(plan.pools, PlanKvBlocks(inputs_.kv_groups, scheduler, kv_bytes));
    plan.kv = ManagerConfig(inputs_.kv_groups, plan.pools, inputs_.block_tokens, hash_key_);
    plan.batches = LimitBatches(scheduler, KvManager(plan.kv), plan.pools);
    // No position lies beyond what the pools hold.
    plan.decoder.rope_rows = inputs_.rope_rows(plan.batches.context);
    const Decoder::Bytes decoder =
        Decoder::CountBytes(inputs_.config, plan.pools, inputs_.act_dtype, plan.decoder);
    plan.budget.activations = decoder.activations;
    plan.budget.rope_tables = decoder.rope_tables;
    plan.budget.workspace += backend_.ExecutorBytes(plan.batches);
    plan.budget.kv_cache = KvStorage::Bytes(plan.pools);
    return plan;
  }

  absl::StatusOr<ModelMemoryPlan> Plan() const {
    const size_t most = MaxKvBytes(inputs_.kv_groups, inputs_.scheduler);
    if (inputs_.kv_cache_bytes && most > 0) {
      // More than is of use is not taken, but was asked for.
      QUIRE_ASSIGN_OR_RETURN(ModelMemoryPlan plan, With(std::min(*inputs_.kv_cache_bytes, most)));
      MemoryBudget asked = plan.budget;
      asked.kv_cache = std::max(asked.kv_cache, *inputs_.kv_cache_bytes);
      if (asked.total() > asked.limit) return Refusal(asked);
      return plan;
    }
    const size_t least = MinKvBytes(inputs_.kv_groups, inputs_.scheduler);
    QUIRE_ASSIGN_OR_RETURN(ModelMemoryPlan smallest, With(least));
    const MemoryBudget& budget = smallest.budget;
    if (budget.total() > budget.limit) return Refusal(budget);
    const size_t left = budget.limit - (budget.total() - budget.kv_cache);
    const size_t unasked = std::clamp(backend_.DefaultKvBytes(left), least, most);
    QUIRE_ASSIGN_OR_RETURN(ModelMemoryPlan plan, With(unasked));
    if (plan.budget.total() <= plan.budget.limit) return plan;
    // What grows with the cache is taken from it.
    const size_t excess = plan.budget.total() - plan.budget.limit;
    const size_t cache = plan.budget.kv_cache;
    return With(std::max(least, cache - std::min(excess, cache)));
  }

 private:
  const MemoryPlanInputs& inputs_;
  Backend& backend_;
  const HashKey hash_key_;
  MemoryBudget fixed_;
};

}  // namespace

absl::StatusOr<ModelMemoryPlan> PlanMemory(const MemoryPlanInputs& inputs, Backend& backend) {
  MemoryPlanner planner(inputs, backend);
  QUIRE_RETURN_IF_ERROR(planner.CountFixed());
  return planner.Plan();
}

}  // namespace quire
