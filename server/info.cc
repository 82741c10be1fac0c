#include "server/info.h"

#include <string>

#include "core/steady_time.h"
#include "model/weights.h"
#include "server/embed_codec.h"
#include "server/limits.h"
#include "server/wire.h"

namespace quire {
namespace {

void FillLoad(const SchedulerStats& stats, int64_t steps, v1::LoadInfo& load) {
  load.set_queued(static_cast<uint32_t>(stats.waiting));
  load.set_running(static_cast<uint32_t>(stats.running));
  load.set_paused(static_cast<uint32_t>(stats.paused));
  load.set_preempted(static_cast<uint32_t>(stats.preempted));
  load.set_steps(static_cast<uint64_t>(steps));
  load.set_prompt_tokens(static_cast<uint64_t>(stats.total_prompt_tokens));
  load.set_cached_prompt_tokens(static_cast<uint64_t>(stats.total_cached_tokens));
  load.set_generated_tokens(static_cast<uint64_t>(stats.total_generated_tokens));
  load.set_preemptions(static_cast<uint64_t>(stats.total_preemptions));
}

void FillLimits(const EngineConfig& config, v1::LimitInfo& limits) {
  limits.set_max_queue(static_cast<uint32_t>(config.max_queue));
  limits.set_max_num_sequences(static_cast<uint32_t>(config.scheduler.max_num_sequences));
  limits.set_max_batch_tokens(static_cast<uint32_t>(config.scheduler.max_batch_tokens));
  limits.set_max_sequences_per_request(kMaxSequencesPerRequest);
  limits.set_max_stop_strings(kMaxStopStrings);
  limits.set_max_stop_string_bytes(kMaxStopStringBytes);
  limits.set_max_stop_token_ids(kMaxStopTokenIds);
  limits.set_max_top_logprobs(kMaxTopLogprobs);
  limits.set_max_logit_bias(kMaxLogitBias);
  limits.set_max_message_bytes(kMaxMessageBytes);
  limits.set_max_name_bytes(kMaxNameBytes);
  limits.set_max_detokenize_ids(kMaxDetokenizeIds);
  limits.set_max_temperature(kMaxTemperature);
  limits.set_max_penalty(kMaxPenalty);
  limits.set_max_bias(kMaxBias);
  limits.set_max_embed_inputs(kMaxEmbedInputs);
  limits.set_max_streams_per_connection(kMaxStreamsPerConnection);
  ToWire(config.scheduler.stall_limit, *limits.mutable_stall_limit());
}

}  // namespace

void FillModelInfo(Services& services, v1::ModelInfo& info) {
  const LoadedModel& model = *services.model;
  const ModelConfig& config = model.config();
  info.set_name(services.model_name);
  info.set_architecture(config.architecture);
  info.set_model_type(config.model_type);
  info.set_parameters(static_cast<uint64_t>(CountParameters(config)));
  info.set_vocab_size(static_cast<uint32_t>(config.vocab_size));
  info.set_num_layers(static_cast<uint32_t>(config.num_layers));
  info.set_capacity_tokens(static_cast<uint32_t>(services.engine().capacity_tokens()));
  info.set_context_tokens(static_cast<uint32_t>(config.max_position_embeddings));
  info.set_dtype(std::string(DTypeName(model.act_dtype())));
  info.set_kv_bytes_per_token(model.kv_bytes_per_token());
  for (TokenId id : config.eos_token_ids) info.add_eos_token_ids(static_cast<uint32_t>(id));
  info.set_rope_scaling(FormatRopeChoice(services.engine().rope().choice));
  info.set_hidden_size(static_cast<uint32_t>(config.hidden_size));
  info.set_default_pooling(ToWire(config.default_pooling()));
  info.set_generates(!config.is_encoder);
  info.set_has_tokenizer(services.tokenizer != nullptr);
  info.set_has_chat_template(services.chat_template.ok());
}

void FillServerInfo(Services& services, v1::ServerInfo& info) {
  const LoadedModel& model = *services.model;
  const EngineConfig& config = services.engine().config();
  const EngineStats stats = services.engine().stats();
  info.set_version(QUIRE_VERSION);
  info.set_device(model.device());
  info.set_batch_invariant(model.is_batch_invariant());
  info.set_state(services.draining ? v1::SERVER_STATE_DRAINING : v1::SERVER_STATE_SERVING);
  ToWire(SteadyNow() - services.started, *info.mutable_uptime());
  for (const MemoryUse& use : model.memory_plan()) {
    v1::MemoryUse* line = info.add_memory_plan();
    line->set_purpose(use.purpose);
    line->set_bytes(use.bytes);
  }
  info.set_block_tokens(static_cast<uint32_t>(config.kv.block_tokens));
  for (size_t group = 0; group < stats.kv.size(); ++group) {
    v1::KvGroupInfo* line = info.add_kv_groups();
    line->set_window(static_cast<uint32_t>(config.kv.groups[group].window));
    line->set_sinks(static_cast<uint32_t>(config.kv.groups[group].sinks));
    line->set_num_blocks(static_cast<uint32_t>(stats.kv[group].num_blocks));
    line->set_free_blocks(static_cast<uint32_t>(stats.kv[group].free));
    line->set_cached_blocks(static_cast<uint32_t>(stats.kv[group].cached));
    line->set_used_blocks(static_cast<uint32_t>(stats.kv[group].referenced));
    line->set_block_bytes(model.block_bytes()[group]);
  }
  FillLoad(stats.scheduler, stats.steps, *info.mutable_load());
  FillLimits(config, *info.mutable_limits());
  *info.mutable_defaults() = DefaultRequest();
}

}  // namespace quire
