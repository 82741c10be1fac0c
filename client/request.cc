#include "client/request.h"

namespace quire {
namespace {

void SetStopping(const GenerateParams& params, v1::Stopping& stopping) {
  if (params.max_new_tokens) stopping.set_max_new_tokens(*params.max_new_tokens);
  if (params.min_new_tokens) stopping.set_min_new_tokens(*params.min_new_tokens);
  for (const std::string& text : params.stop_strings) stopping.add_stop_strings(text);
  for (uint32_t id : params.stop_token_ids) stopping.add_stop_token_ids(id);
  stopping.set_ignore_eos(params.ignore_eos);
  stopping.set_include_stop_string(params.include_stop_string);
  if (params.time_limit) {
    absl::Duration rest;
    const int64_t seconds = absl::IDivDuration(*params.time_limit, absl::Seconds(1), &rest);
    stopping.mutable_time_limit()->set_seconds(seconds);
    stopping.mutable_time_limit()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  }
}

void SetSampling(const GenerateParams& params, v1::Sampling& sampling) {
  if (params.temperature) sampling.set_temperature(*params.temperature);
  if (params.top_k) sampling.set_top_k(*params.top_k);
  if (params.top_p) sampling.set_top_p(*params.top_p);
  if (params.min_p) sampling.set_min_p(*params.min_p);
  if (params.seed) sampling.set_seed(*params.seed);
  if (params.repetition_penalty) sampling.set_repetition_penalty(*params.repetition_penalty);
  if (params.presence_penalty) sampling.set_presence_penalty(*params.presence_penalty);
  if (params.frequency_penalty) sampling.set_frequency_penalty(*params.frequency_penalty);
  for (const auto& [id, bias] : params.logit_bias) (*sampling.mutable_logit_bias())[id] = bias;
}

void SetResponse(const GenerateParams& params, v1::Response& response) {
  if (params.text) response.set_text(*params.text);
  response.set_token_ids(params.token_ids);
  if (params.top_logprobs) response.set_top_logprobs(*params.top_logprobs);
  response.set_prompt_logprobs(params.prompt_logprobs);
  response.set_echo_prompt(params.echo_prompt);
}

v1::GenerateRequest WithoutPrompt(const GenerateParams& params) {
  v1::GenerateRequest request;
  request.set_request_id(params.request_id);
  if (params.num_sequences) request.set_num_sequences(*params.num_sequences);
  SetSampling(params, *request.mutable_sampling());
  SetStopping(params, *request.mutable_stopping());
  SetResponse(params, *request.mutable_response());
  request.set_priority(params.priority);
  request.set_tenant(params.tenant);
  request.set_cache_salt(params.cache_salt);
  request.set_bypass_prefix_cache(params.bypass_prefix_cache);
  return request;
}

}  // namespace

v1::GenerateRequest MakeRequest(absl::string_view text, const GenerateParams& params) {
  v1::GenerateRequest request = WithoutPrompt(params);
  request.set_text(std::string(text));
  return request;
}

v1::GenerateRequest MakeRequest(absl::Span<const uint32_t> token_ids,
                                const GenerateParams& params) {
  v1::GenerateRequest request = WithoutPrompt(params);
  request.mutable_token_ids()->mutable_ids()->Add(token_ids.begin(), token_ids.end());
  return request;
}

v1::GenerateRequest MakeRequest(const v1::Chat& chat, const GenerateParams& params) {
  v1::GenerateRequest request = WithoutPrompt(params);
  *request.mutable_chat() = chat;
  return request;
}

}  // namespace quire
