#include "server/request_codec.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/status_macros.h"
#include "server/limits.h"

namespace quire {
namespace {

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// A finite value in [low, high].
absl::Status CheckRange(absl::string_view field, float value, float low, float high) {
  if (std::isfinite(value) && value >= low && value <= high) return absl::OkStatus();
  return Invalid(field, " is ", value, "; the range is ", low, " to ", high);
}

// A finite value in (0, high].
absl::Status CheckPositive(absl::string_view field, float value, float high) {
  if (std::isfinite(value) && value > 0 && value <= high) return absl::OkStatus();
  return Invalid(field, " is ", value, "; the range is above 0, to ", high);
}

uint64_t RandomWord() {
  thread_local std::random_device random;
  return uint64_t{random()} << 32 | random();
}

absl::Status DecodeSampling(const v1::Sampling& wire, int64_t vocab_size,
                            SamplingParams& sampling) {
  if (wire.has_temperature()) sampling.temperature = wire.temperature();
  QUIRE_RETURN_IF_ERROR(
      CheckRange("sampling.temperature", sampling.temperature, 0, kMaxTemperature));
  if (wire.top_k() > static_cast<uint32_t>(INT32_MAX)) {
    return Invalid("sampling.top_k is ", wire.top_k(), "; the limit is ", INT32_MAX);
  }
  sampling.top_k = static_cast<int32_t>(wire.top_k());
  if (wire.has_top_p()) sampling.top_p = wire.top_p();
  QUIRE_RETURN_IF_ERROR(CheckPositive("sampling.top_p", sampling.top_p, 1));
  sampling.min_p = wire.min_p();
  QUIRE_RETURN_IF_ERROR(CheckRange("sampling.min_p", sampling.min_p, 0, 1));
  if (wire.has_repetition_penalty()) sampling.repetition_penalty = wire.repetition_penalty();
  QUIRE_RETURN_IF_ERROR(CheckRange("sampling.repetition_penalty", sampling.repetition_penalty,
                                   kMinRepetitionPenalty, kMaxPenalty));
  sampling.presence_penalty = wire.presence_penalty();
  QUIRE_RETURN_IF_ERROR(CheckRange("sampling.presence_penalty", sampling.presence_penalty,
                                   -kMaxPenalty, kMaxPenalty));
  sampling.frequency_penalty = wire.frequency_penalty();
  QUIRE_RETURN_IF_ERROR(CheckRange("sampling.frequency_penalty", sampling.frequency_penalty,
                                   -kMaxPenalty, kMaxPenalty));
  if (static_cast<int>(wire.logit_bias().size()) > kMaxLogitBias) {
    return Invalid("sampling.logit_bias has ", wire.logit_bias().size(), " entries; the limit is ",
                   kMaxLogitBias);
  }
  for (const auto& [id, bias] : wire.logit_bias()) {
    if (id >= vocab_size) {
      return Invalid("sampling.logit_bias has token id ", id, "; the vocabulary has ", vocab_size);
    }
    QUIRE_RETURN_IF_ERROR(
        CheckRange(absl::StrCat("sampling.logit_bias[", id, "]"), bias, -kMaxBias, kMaxBias));
    sampling.logit_bias.emplace_back(static_cast<TokenId>(id), bias);
  }
  std::sort(sampling.logit_bias.begin(), sampling.logit_bias.end());
  sampling.seed = wire.has_seed() ? wire.seed() : RandomWord();
  return absl::OkStatus();
}

absl::Status DecodeStopping(const v1::Stopping& wire, const ModelConfig& model,
                            StoppingParams& stopping, ResponseOptions& response) {
  if (wire.has_max_new_tokens()) stopping.max_new_tokens = wire.max_new_tokens();
  stopping.min_new_tokens = wire.min_new_tokens();
  if (stopping.max_new_tokens && stopping.min_new_tokens > *stopping.max_new_tokens) {
    return Invalid("stopping.min_new_tokens is ", stopping.min_new_tokens,
                   "; the limit is max_new_tokens, ", *stopping.max_new_tokens);
  }
  if (wire.stop_strings_size() > kMaxStopStrings) {
    return Invalid("stopping.stop_strings has ", wire.stop_strings_size(),
                   " entries; the limit is ", kMaxStopStrings);
  }
  for (const std::string& text : wire.stop_strings()) {
    if (text.empty() || text.size() > kMaxStopStringBytes) {
      return Invalid("stopping.stop_strings has one of ", text.size(), " bytes; the range is 1 to ",
                     kMaxStopStringBytes);
    }
    response.stop_strings.push_back(text);
  }
  response.include_stop_string = wire.include_stop_string();
  response.min_new_tokens = stopping.min_new_tokens;
  if (wire.stop_token_ids_size() > kMaxStopTokenIds) {
    return Invalid("stopping.stop_token_ids has ", wire.stop_token_ids_size(),
                   " entries; the limit is ", kMaxStopTokenIds);
  }
  QUIRE_RETURN_IF_ERROR(
      CheckTokenIds(wire.stop_token_ids(), model.vocab_size, "stopping.stop_token_ids"));
  stopping.stop_token_ids.assign(wire.stop_token_ids().begin(), wire.stop_token_ids().end());
  if (!wire.ignore_eos()) stopping.eos_token_ids = model.eos_token_ids;
  if (wire.has_time_limit()) {
    stopping.time_limit =
        absl::Seconds(wire.time_limit().seconds()) + absl::Nanoseconds(wire.time_limit().nanos());
    if (stopping.time_limit <= absl::ZeroDuration()) {
      return Invalid("stopping.time_limit is ", absl::FormatDuration(stopping.time_limit),
                     "; it must be above 0");
    }
  }
  return absl::OkStatus();
}

absl::Status DecodeResponse(const v1::Response& wire, Request& request, ResponseOptions& response) {
  response.text = !wire.has_text() || wire.text();
  response.token_ids = wire.token_ids();
  response.prompt_logprobs = wire.prompt_logprobs();
  response.echo_prompt = wire.echo_prompt();
  request.prompt_logprobs = wire.prompt_logprobs();
  if (!wire.has_top_logprobs()) return absl::OkStatus();
  if (wire.top_logprobs() > kMaxTopLogprobs) {
    return Invalid("response.top_logprobs is ", wire.top_logprobs(), "; the limit is ",
                   kMaxTopLogprobs);
  }
  response.logprobs = true;
  request.top_logprobs = static_cast<int32_t>(wire.top_logprobs());
  return absl::OkStatus();
}

absl::Status NoTokenizer() {
  return absl::FailedPreconditionError(
      "the model has no tokenizer.json, so it can't take text; send token_ids");
}

// `field` is where the text comes from.
absl::Status DecodeText(const std::string& text, absl::string_view field, bool add_special_tokens,
                        const CodecContext& context, DecodedRequest& decoded) {
  QUIRE_ASSIGN_OR_RETURN(decoded.request.prompt,
                         EncodeText(text, context, field, add_special_tokens));
  if (decoded.response.echo_prompt) decoded.response.prompt_text = text;
  return absl::OkStatus();
}

absl::Status DecodePrompt(const v1::GenerateRequest& wire, const CodecContext& context,
                          DecodedRequest& decoded) {
  std::vector<TokenId>& prompt = decoded.request.prompt;
  switch (wire.prompt_case()) {
    case v1::GenerateRequest::kText:
      QUIRE_RETURN_IF_ERROR(DecodeText(wire.text(), "text", true, context, decoded));
      break;
    case v1::GenerateRequest::kTokenIds:
      QUIRE_RETURN_IF_ERROR(
          CheckTokenIds(wire.token_ids().ids(), context.model->vocab_size, "token_ids"));
      prompt.assign(wire.token_ids().ids().begin(), wire.token_ids().ids().end());
      if (decoded.response.echo_prompt && context.tokenizer != nullptr) {
        decoded.response.prompt_text = context.tokenizer->Decode(prompt, false);
      }
      break;
    case v1::GenerateRequest::kChat: {
      QUIRE_ASSIGN_OR_RETURN(const std::string text, RenderChat(wire.chat(), context));
      QUIRE_RETURN_IF_ERROR(DecodeText(text, "chat", false, context, decoded));
      break;
    }
    case v1::GenerateRequest::PROMPT_NOT_SET:
      return Invalid("prompt is not set; send text, token_ids or chat");
  }
  if (prompt.empty()) {
    return Invalid("the prompt is empty: it has 0 tokens; it needs one at least");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckName(absl::string_view field, const std::string& name) {
  if (name.size() <= kMaxNameBytes) return absl::OkStatus();
  return Invalid(field, " has ", name.size(), " bytes; the limit is ", kMaxNameBytes);
}

std::string NameRequest(const std::string& given, absl::string_view prefix) {
  if (!given.empty()) return given;
  return absl::StrCat(prefix, absl::Hex(RandomWord(), absl::kZeroPad16));
}

absl::StatusOr<std::vector<TokenId>> EncodeText(const std::string& text,
                                                const CodecContext& context,
                                                absl::string_view field, bool add_special_tokens) {
  if (context.tokenizer == nullptr) return NoTokenizer();
  QUIRE_ASSIGN_OR_RETURN(std::vector<TokenId> ids,
                         context.tokenizer->Encode(text, add_special_tokens));
  for (TokenId id : ids) {
    if (id < context.model->vocab_size) continue;
    return Invalid(field, " holds the token ", id, ", which the model's vocabulary of ",
                   context.model->vocab_size, " lacks");
  }
  return ids;
}

absl::Status CheckTokenIds(const google::protobuf::RepeatedField<uint32_t>& ids, int64_t vocab_size,
                           absl::string_view field) {
  for (uint32_t id : ids) {
    if (id >= vocab_size) {
      return Invalid(field, " has ", id, "; the limit is ", vocab_size - 1, " (the vocabulary has ",
                     vocab_size, " tokens)");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> RenderChat(const v1::Chat& chat, const CodecContext& context) {
  if (context.tokenizer == nullptr) return NoTokenizer();
  if (context.chat_template == nullptr) {
    return absl::FailedPreconditionError("the model has no chat template; send text");
  }
  if (!context.chat_template->ok()) {
    return absl::FailedPreconditionError(context.chat_template->status().message());
  }
  return (**context.chat_template)->Render(chat, absl::Now());
}

size_t TextBytes(const v1::GenerateRequest& wire) {
  return wire.text().size() + TextBytes(wire.chat());
}

absl::StatusOr<DecodedRequest> DecodeRequest(const v1::GenerateRequest& wire,
                                             const CodecContext& context, absl::Time deadline) {
  if (context.model->is_encoder) {
    return absl::FailedPreconditionError(absl::StrCat(
        "this model only embeds: a ", context.model->architecture, " can't generate; call Embed"));
  }
  DecodedRequest decoded;
  Request& request = decoded.request;
  QUIRE_RETURN_IF_ERROR(CheckName("request_id", wire.request_id()));
  QUIRE_RETURN_IF_ERROR(CheckName("tenant", wire.tenant()));
  QUIRE_RETURN_IF_ERROR(CheckName("cache_salt", wire.cache_salt()));
  if (wire.constraint_case() != v1::GenerateRequest::CONSTRAINT_NOT_SET) {
    return absl::FailedPreconditionError("constraints are not built yet; leave constraint unset");
  }
  request.num_sequences = wire.has_num_sequences() ? static_cast<int>(wire.num_sequences()) : 1;
  if (wire.has_num_sequences() &&
      (wire.num_sequences() < 1 || wire.num_sequences() > kMaxSequencesPerRequest)) {
    return Invalid("num_sequences is ", wire.num_sequences(), "; the range is 1 to ",
                   kMaxSequencesPerRequest);
  }
  QUIRE_RETURN_IF_ERROR(
      DecodeSampling(wire.sampling(), context.model->vocab_size, request.sampling));
  QUIRE_RETURN_IF_ERROR(
      DecodeStopping(wire.stopping(), *context.model, request.stopping, decoded.response));
  QUIRE_RETURN_IF_ERROR(DecodeResponse(wire.response(), request, decoded.response));
  if (!decoded.response.stop_strings.empty() && context.tokenizer == nullptr) {
    return absl::FailedPreconditionError(
        "stopping.stop_strings needs text, and the model has no tokenizer.json");
  }
  request.request_id = NameRequest(wire.request_id(), "gen-");
  request.tenant = wire.tenant();
  request.priority = wire.priority();
  request.cache_salt = wire.cache_salt();
  request.bypass_prefix_cache = wire.bypass_prefix_cache();
  request.deadline = deadline;
  // Last, because it takes the longest.
  QUIRE_RETURN_IF_ERROR(DecodePrompt(wire, context, decoded));
  return decoded;
}

v1::GenerateRequest DefaultRequest() {
  const SamplingParams sampling;
  const StoppingParams stopping;
  v1::GenerateRequest wire;
  wire.set_num_sequences(1);
  wire.mutable_sampling()->set_temperature(sampling.temperature);
  wire.mutable_sampling()->set_top_p(sampling.top_p);
  wire.mutable_sampling()->set_repetition_penalty(sampling.repetition_penalty);
  wire.mutable_stopping()->set_min_new_tokens(static_cast<uint32_t>(stopping.min_new_tokens));
  wire.mutable_response()->set_text(true);
  return wire;
}

}  // namespace quire
