#include "proto/response_collector.h"

namespace quire {

void ResponseCollector::Add(const v1::GenerateEvent& event) {
  switch (event.event_case()) {
    case v1::GenerateEvent::kStarted:
      started_ = true;
      response_.set_request_id(event.started().request_id());
      response_.set_seed(event.started().seed());
      response_.mutable_usage()->set_prompt_tokens(event.started().prompt_tokens());
      break;
    case v1::GenerateEvent::kPrompt:
      AddPrompt(event.prompt());
      break;
    case v1::GenerateEvent::kDelta: {
      v1::GeneratedSequence& sequence = Sequence(event.delta().sequence_index());
      sequence.mutable_text()->append(event.delta().text());
      sequence.mutable_token_ids()->MergeFrom(event.delta().token_ids());
      sequence.mutable_logprobs()->MergeFrom(event.delta().logprobs());
      break;
    }
    case v1::GenerateEvent::kFinished:
      AddFinished(event.finished());
      break;
    case v1::GenerateEvent::kFailed:
      *response_.mutable_usage() = event.failed().usage();
      *response_.mutable_timings() = event.failed().timings();
      break;
    case v1::GenerateEvent::EVENT_NOT_SET:
      break;
  }
}

v1::GeneratedSequence& ResponseCollector::Sequence(uint32_t index) {
  while (response_.sequences_size() <= static_cast<int>(index)) response_.add_sequences();
  return *response_.mutable_sequences(static_cast<int>(index));
}

void ResponseCollector::AddPrompt(const v1::Prompt& prompt) {
  // MergeFrom appends repeated fields but replaces strings.
  response_.mutable_prompt()->mutable_text()->append(prompt.text());
  response_.mutable_prompt()->mutable_token_ids()->MergeFrom(prompt.token_ids());
  response_.mutable_prompt()->mutable_logprobs()->MergeFrom(prompt.logprobs());
}

void ResponseCollector::AddFinished(const v1::Finished& finished) {
  v1::GeneratedSequence& sequence = Sequence(finished.sequence_index());
  sequence.set_finish_reason(finished.finish_reason());
  if (finished.has_stop_match()) *sequence.mutable_stop_match() = finished.stop_match();
  *sequence.mutable_usage() = finished.usage();
  *sequence.mutable_timings() = finished.timings();
  v1::Usage& usage = *response_.mutable_usage();
  usage.set_prompt_tokens(finished.usage().prompt_tokens());
  usage.set_cached_prompt_tokens(finished.usage().cached_prompt_tokens());
  usage.set_completion_tokens(usage.completion_tokens() + finished.usage().completion_tokens());
  usage.set_preemptions(usage.preemptions() + finished.usage().preemptions());
  *response_.mutable_timings() = finished.timings();
}

}  // namespace quire
