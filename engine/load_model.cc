#include "engine/load_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "model/weight_source.h"

namespace quire {
namespace {

// Of sequences whose rows see a bounded part of them. Positions are 32 bits wide.
constexpr int64_t kEndlessContext = int64_t{1} << 30;

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
  backend.max_num_sequences = options.max_num_sequences;
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
  QUIRE_ASSIGN_OR_RETURN(const RequestRope rope, RopeFor(options.rope_scaling));
  const auto rope_rows = [&](int64_t context) { return LayOut(rope, context, options); };
  QUIRE_ASSIGN_OR_RETURN(const ModelMemoryPlan plan,
                         PlanMemory({.config = config_,
                                     .act_dtype = act_dtype_,
                                     .kv_groups = kv_groups,
                                     .block_tokens = block_tokens,
                                     .scheduler = scheduler,
                                     .rope_rows = rope_rows,
                                     .kv_cache_bytes = options.kv_cache_bytes},
                                    *backend_));
  memory_budget_ = plan.budget;
  for (const KvGroupStorage& pool : plan.pools) {
    block_bytes_.push_back(pool.block_bytes());
    kv_bytes_per_token_ += pool.layout.token_bytes() * pool.num_layers;
  }
  EngineConfig engine;
  engine.scheduler = scheduler;
  engine.max_queue = options.max_queue;
  engine.kv = plan.kv;
  engine.rope = rope;
  engine.rope_rows = plan.decoder.rope_rows;
  engine.position_offset = config_.position_offset;

  // What fails fast goes before what takes long.
  QUIRE_ASSIGN_OR_RETURN(kv_storage_, KvStorage::Create(plan.pools, backend_->memory()));
  QUIRE_RETURN_IF_ERROR(backend_->ReserveWeights(plan.budget.weights));
  QUIRE_ASSIGN_OR_RETURN(ModelWeights weights,
                         LoadWeights(config_, act_dtype_, *source, backend_->ops(), progress));
  unused_tensors_ = std::move(weights.unused_tensors);
  source.reset();
  QUIRE_ASSIGN_OR_RETURN(
      decoder_, Decoder::Create(config_, std::move(weights), kv_groups, *kv_storage_, act_dtype_,
                                plan.decoder, backend_->ops(), backend_->attention(), mla_.get(),
                                backend_->memory()));
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Executor> executor,
                         backend_->MakeExecutor(*decoder_, plan.batches));
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

}  // namespace quire
