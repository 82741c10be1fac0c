#include "server/wire.h"

namespace quire {

void ToWire(absl::Duration duration, google::protobuf::Duration& wire) {
  const int64_t seconds = absl::IDivDuration(duration, absl::Seconds(1), &duration);
  wire.set_seconds(seconds);
  wire.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(duration)));
}

void ToWire(const Timings& timings, v1::Timings& wire) {
  ToWire(timings.queued, *wire.mutable_queued());
  ToWire(timings.prefill, *wire.mutable_prefill());
  ToWire(timings.time_to_first_token, *wire.mutable_time_to_first_token());
  ToWire(timings.total, *wire.mutable_total());
}

void ToWire(const Usage& usage, v1::Usage& wire) {
  wire.set_prompt_tokens(static_cast<uint32_t>(usage.prompt_tokens));
  wire.set_cached_prompt_tokens(static_cast<uint32_t>(usage.cached_tokens));
  wire.set_completion_tokens(static_cast<uint32_t>(usage.completion_tokens));
  wire.set_preemptions(static_cast<uint32_t>(usage.preemptions));
}

void ToWire(const TokenLogprobs& logprobs, v1::TokenLogprobs& wire) {
  wire.set_token_id(static_cast<uint32_t>(logprobs.chosen.token));
  wire.set_logprob(logprobs.chosen.logprob);
  for (const TokenLogprob& likely : logprobs.top) {
    v1::TokenLogprob* top = wire.add_top();
    top->set_token_id(static_cast<uint32_t>(likely.token));
    top->set_logprob(likely.logprob);
  }
}

v1::FinishReason ToWire(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEos:
      return v1::FINISH_REASON_EOS;
    case FinishReason::kStopToken:
      return v1::FINISH_REASON_STOP_TOKEN;
    case FinishReason::kStopString:
      return v1::FINISH_REASON_STOP_STRING;
    case FinishReason::kMaxTokens:
      return v1::FINISH_REASON_MAX_TOKENS;
    case FinishReason::kContextLimit:
      return v1::FINISH_REASON_CONTEXT_LIMIT;
    case FinishReason::kTimeLimit:
      return v1::FINISH_REASON_TIME_LIMIT;
    case FinishReason::kCancelled:
      return v1::FINISH_REASON_CANCELLED;
    case FinishReason::kFailed:
      break;
  }
  return v1::FINISH_REASON_UNSPECIFIED;
}

}  // namespace quire
