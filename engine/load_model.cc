#include "engine/load_model.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/ceil_div.h"
#include "core/status_macros.h"
#include "engine/kv_budget.h"
#include "model/mla_block.h"
#include "model/weight_source.h"

namespace quire {
namespace {

// Logits of this many rows at a time: as many as decode together, within 64 MiB or so.
int64_t LogitsRows(const ModelConfig& config, int max_num_sequences) {
  const int64_t affordable = (int64_t{64} << 20) / (config.vocab_size * int64_t{sizeof(float)});
  return std::clamp<int64_t>(max_num_sequences, 1, std::max<int64_t>(16, affordable));
}

// Of sequences whose rows see a bounded part of them. Positions are 32 bits wide.
constexpr int64_t kEndlessContext = int64_t{1} << 30;

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

std::string Mebibytes(size_t bytes) { return absl::StrCat((bytes + (1 << 20) - 1) >> 20, " MiB"); }

}  // namespace

LoadedModel::~LoadedModel() = default;

absl::StatusOr<std::unique_ptr<LoadedModel>> LoadedModel::Load(const LoadOptions& options,
                                                               const LoadProgress& progress) {
  std::unique_ptr<LoadedModel> loaded(new LoadedModel);
  QUIRE_RETURN_IF_ERROR(loaded->Start(options, progress));
  return loaded;
}

absl::Status LoadedModel::Start(const LoadOptions& options, const LoadProgress& progress) {
  QUIRE_ASSIGN_OR_RETURN(config_, ReadModelConfig(options.model));
  QUIRE_RETURN_IF_ERROR(CheckRopeChoice(config_.model_ropes(), options.rope_scaling));
  QUIRE_RETURN_IF_ERROR(ApplyAttentionSinks(
      options.sinks, StretchedPositions(config_.model_ropes(), options.rope_scaling), config_));
  std::unique_ptr<WeightSource> source;
  if (options.random_weights) {
    source = RandomWeights(config_);
  } else {
    QUIRE_ASSIGN_OR_RETURN(source, OpenCheckpoint(options.model));
  }
  SchedulerConfig scheduler;
  scheduler.max_batch_tokens = options.max_batch_tokens;
  scheduler.max_num_sequences = options.max_num_sequences;
  QUIRE_RETURN_IF_ERROR(PlanContext(options, scheduler));
  BackendOptions backend = options.backend;
  backend.max_batch_tokens = options.max_batch_tokens;
  backend.max_context = scheduler.context_tokens;
  QUIRE_ASSIGN_OR_RETURN(backend_, MakeBackend(backend, config_));
  device_ = backend_->Describe();
  const DType stored = config_.checkpoint_dtype.value_or(source->stored_dtype());
  QUIRE_ASSIGN_OR_RETURN(act_dtype_, backend_->ActDType(stored, options.dtype));
  if (config_.mla) {
    QUIRE_ASSIGN_OR_RETURN(mla_, backend_->MakeMla({.shape = config_.mla->shape,
                                                    .max_rows = options.max_batch_tokens,
                                                    .max_context = scheduler.context_tokens,
                                                    .cache_dtype = act_dtype_}));
  }

  scheduler.pipeline_depth = backend_->pipeline_depth();
  scheduler.share_generated_blocks = backend_->prefill_equals_decode() && !config_.mla;
  scheduler.whole_prompts = config_.is_encoder;
  scheduler.embedding_width = config_.hidden_size;
  scheduler.stall_limit = options.stall_limit;
  const int block_tokens =
      options.block_tokens > 0 ? options.block_tokens : backend_->default_block_tokens();
  KvGroups kv_groups = GroupKvLayers(config_, block_tokens, act_dtype_);
  kv_groups.padding_blocks = backend_->pads_batches() ? 1 : 0;
  DecoderLimits limits{.max_batch_tokens = options.max_batch_tokens,
                       .max_logits_rows = LogitsRows(config_, options.max_num_sequences),
                       .rope_rows = {}};
  QUIRE_ASSIGN_OR_RETURN(const RequestRope rope, RopeFor(options.rope_scaling));
  limits.rope_rows = LayOut(rope, scheduler.context_tokens, options);
  QUIRE_ASSIGN_OR_RETURN(const std::vector<KvGroupStorage> pools,
                         PlanMemory(options, kv_groups, scheduler, limits));

  EngineConfig engine;
  engine.scheduler = scheduler;
  engine.max_queue = options.max_queue;
  engine.kv.block_tokens = block_tokens;
  engine.kv.hash_key = RandomHashKey();
  for (size_t group = 0; group < pools.size(); ++group) {
    engine.kv.groups.push_back({.window = kv_groups.groups[group].window,
                                .sinks = kv_groups.groups[group].sinks,
                                .num_blocks = pools[group].num_blocks});
    block_bytes_.push_back(pools[group].block_bytes());
    kv_bytes_per_token_ += pools[group].layout.token_bytes() * pools[group].num_layers;
  }
  // No position lies beyond what the pools hold.
  const BatchLimits batches = LimitBatches(scheduler, KvManager(engine.kv), pools);
  limits.rope_rows = LayOut(rope, batches.context, options);
  engine.rope = rope;
  engine.rope_rows = limits.rope_rows;
  engine.position_offset = config_.position_offset;

  // What fails fast goes before what takes long.
  QUIRE_ASSIGN_OR_RETURN(kv_storage_, KvStorage::Create(pools, backend_->memory()));
  QUIRE_ASSIGN_OR_RETURN(ModelWeights weights,
                         LoadWeights(config_, act_dtype_, *source, backend_->ops(), progress));
  unused_tensors_ = std::move(weights.unused_tensors);
  source.reset();
  QUIRE_ASSIGN_OR_RETURN(
      decoder_,
      Decoder::Create(config_, std::move(weights), kv_groups, *kv_storage_, act_dtype_, limits,
                      backend_->ops(), backend_->attention(), mla_.get(), backend_->memory()));
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Executor> executor,
                         backend_->MakeExecutor(*decoder_, batches));
  executor_ = executor->Describe();
  engine_ = std::make_unique<Engine>(engine, std::move(executor));
  return absl::OkStatus();
}

// The context: what is asked for, else config.json's, or what a scaling in its place is made for,
// or without end where no row sees it whole.
absl::Status LoadedModel::PlanContext(const LoadOptions& options,
                                      SchedulerConfig& scheduler) const {
  const auto plan = [&](int64_t longest, int64_t usual, const std::string& because) {
    scheduler.context_tokens = options.max_context > 0 ? options.max_context : usual;
    if (options.max_context <= longest) return absl::OkStatus();
    return absl::OutOfRangeError(absl::StrCat("--max-context ", options.max_context,
                                              ": the limit is ", longest, ", ", because));
  };
  if (config_.streamed_positions > 0) {
    return plan(kEndlessContext, kEndlessContext, "of text without end (--attention-window)");
  }
  const ModelRopes ropes = config_.model_ropes();
  const int64_t longest = StretchedPositions(ropes, options.rope_scaling) - config_.sink_tokens;
  const bool is_own = options.rope_scaling.kind == RopeChoice::Kind::kModel;
  return plan(longest, is_own ? ropes.max_positions - config_.sink_tokens : longest,
              absl::StrCat("the model's positions with the rotary scaling \"",
                           FormatRopeChoice(options.rope_scaling), "\" (--rope-scaling)"));
}

absl::StatusOr<RequestRope> LoadedModel::RopeFor(const RopeChoice& choice) const {
  QUIRE_ASSIGN_OR_RETURN(const RequestRope rope, RopeOfRequests(config_.model_ropes(), choice));
  if (config_.sink_tokens > 0 && rope.rule != RequestRope::LengthRule::kNone) {
    return absl::FailedPreconditionError(
        absl::StrCat("the rotary scaling \"", FormatRopeChoice(choice),
                     "\" follows a sequence's length, which the keys of this model's learned sink "
                     "tokens can't: they are the same for all sequences"));
  }
  return config_.streamed_positions > 0 ? rope.Seeing(config_.streamed_positions) : rope;
}

// `context` tokens at most in a sequence. Of an endless one the rows within the model's positions
// are computed once; in steps there is also one for each entry's view of the sinks.
RopeRowLayout LoadedModel::LayOut(const RequestRope& rope, int64_t context,
                                  const LoadOptions& options) const {
  const int64_t streamed = config_.streamed_positions;
  if (streamed > 0) {
    context = std::min(context, std::max(streamed, config_.max_position_embeddings));
  }
  RopeRowLayout layout =
      LayOutRopeRows(rope, context, options.max_batch_tokens * (streamed > 0 ? 2 : 1));
  layout.first_position = config_.sink_tokens;
  layout.seen_positions = streamed;
  return layout;
}

absl::Status LoadedModel::SetRopeScaling(const RopeChoice& choice) {
  QUIRE_RETURN_IF_ERROR(CheckRopeChoice(config_.model_ropes(), choice));
  if (config_.sink_tokens > 0) {
    return absl::FailedPreconditionError(
        "the keys of this model's learned sink tokens were turned at start: give --rope-scaling "
        "to quire-server instead");
  }
  QUIRE_ASSIGN_OR_RETURN(const RequestRope rope, RopeFor(choice));
  engine_->SetRope(rope);
  return absl::OkStatus();
}

// Sizes the KV pools, and refuses what can't fit with the numbers.
absl::StatusOr<std::vector<KvGroupStorage>> LoadedModel::PlanMemory(
    const LoadOptions& options, const KvGroups& kv_groups, const SchedulerConfig& scheduler,
    const DecoderLimits& limits) const {
  const int64_t numbers = CountParameters(config_) + CountDuplicates(config_);
  const size_t weights = static_cast<size_t>(numbers) * DTypeBytes(act_dtype_);
  size_t activations = Activations::Bytes(config_, act_dtype_, limits) +
                       RopeTables::Bytes(config_.model_ropes(), limits.rope_rows);
  if (config_.mla) {
    activations += MlaBlock::ActivationBytes(*config_.mla, act_dtype_, options.max_batch_tokens);
  }
  const size_t available = backend_->memory().AvailableBytes();
  const size_t left = available > weights + activations ? available - weights - activations : 0;
  const size_t most = MaxKvBytes(kv_groups, scheduler);
  const size_t unasked = std::min(backend_->DefaultKvBytes(left), most);
  const size_t budget = most == 0 ? 0 : options.kv_cache_bytes.value_or(unasked);
  if (weights + activations + budget > available) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the model does not fit: weights ", Mebibytes(weights), " + activations and rope tables ",
        Mebibytes(activations), " + KV cache ", Mebibytes(budget), " = ",
        Mebibytes(weights + activations + budget), ", but ", Mebibytes(available),
        " are available; lower --kv-cache-bytes or --max-batch-tokens, or use a smaller model"));
  }
  return PlanKvBlocks(kv_groups, scheduler, budget);
}

}  // namespace quire
