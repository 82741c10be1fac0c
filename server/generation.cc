#include "server/generation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "server/log.h"
#include "server/wire.h"

namespace quire {
namespace {

bool Contains(const std::vector<TokenId>& ids, TokenId token) {
  return std::find(ids.begin(), ids.end(), token) != ids.end();
}

}  // namespace

Generation::Generation(Services& services, DecodedRequest decoded,
                       std::unique_ptr<LiveRequests::Entry> entry)
    : services_(services),
      request_(std::make_shared<const Request>(std::move(decoded.request))),
      response_(std::move(decoded.response)),
      entry_(std::move(entry)),
      unfinished_(request_->num_sequences) {
  const bool needs_text = response_.text || !response_.stop_strings.empty();
  for (int index = 0; index < request_->num_sequences; ++index) {
    sequences_.push_back(
        {.text = SequenceText(needs_text ? services.tokenizer : nullptr, response_.stop_strings,
                              response_.include_stop_string, response_.min_new_tokens)});
  }
  if (!response_.echo_prompt) return;
  if (response_.text) prompt_.SetText(response_.prompt_text);
  if (response_.token_ids) prompt_.SetTokenIds(request_->prompt);
}

absl::StatusOr<std::unique_ptr<Generation>> Generation::Start(Services& services,
                                                              const v1::GenerateRequest& wire,
                                                              absl::Time deadline,
                                                              std::function<void()> on_ready) {
  QUIRE_ASSIGN_OR_RETURN(DecodedRequest decoded, DecodeRequest(wire, services.codec(), deadline));
  QUIRE_ASSIGN_OR_RETURN(auto entry, services.live_requests.Insert(decoded.request.tenant,
                                                                   decoded.request.request_id));
  std::unique_ptr<Generation> made(new Generation(services, std::move(decoded), std::move(entry)));
  QUIRE_ASSIGN_OR_RETURN(made->submission_,
                         services.engine().Submit(made->request_, std::move(on_ready)));
  const bool aborted = made->entry_->SetKey(made->submission_.key);
  if (aborted) made->Cancel();
  return made;
}

std::vector<v1::GenerateEvent> Generation::Take() {
  std::vector<v1::GenerateEvent> events;
  if (!std::exchange(started_, true)) {
    events.push_back(StartedEvent());
    return events;
  }
  for (OneSequence& sequence : sequences_) sequence.open_delta = -1;
  while (true) {
    if (std::optional<v1::GenerateEvent> piece = prompt_.Next()) {
      events.push_back(*std::move(piece));
      return events;
    }
    if (next_ == taken_.size()) {
      taken_ = submission_.stream->Take();
      next_ = 0;
      // Only an empty stream calls on_ready again.
      if (taken_.empty()) return events;
    }
    for (; next_ < taken_.size(); ++next_) {
      TokenEvent& event = taken_[next_];
      if (!event.prompt_logprobs.empty()) {
        prompt_.SetLogprobs(std::exchange(event.prompt_logprobs, {}));
        break;  // they go before the rest
      }
      if (event.token) AddToken(event.sequence_index, *event.token, events);
      if (event.finish) AddFinish(event.sequence_index, *event.finish, events);
    }
    if (ended()) entry_->Free();  // before the client learns of the end
    if (!events.empty()) return events;
  }
}

v1::GenerateEvent Generation::StartedEvent() const {
  v1::GenerateEvent event;
  event.mutable_started()->set_request_id(request_->request_id);
  event.mutable_started()->set_prompt_tokens(static_cast<uint32_t>(request_->prompt.size()));
  event.mutable_started()->set_seed(request_->sampling.seed);
  return event;
}

// The Delta that collects what this Take has for the sequence.
v1::Delta& Generation::OpenDelta(int index, std::vector<v1::GenerateEvent>& events) {
  OneSequence& sequence = sequences_[index];
  if (sequence.open_delta < 0) {
    sequence.open_delta = static_cast<int>(events.size());
    events.emplace_back().mutable_delta()->set_sequence_index(static_cast<uint32_t>(index));
  }
  return *events[sequence.open_delta].mutable_delta();
}

void Generation::AddToken(int index, const SampledToken& token,
                          std::vector<v1::GenerateEvent>& events) {
  OneSequence& sequence = sequences_[index];
  if (sequence.text.stopped_by()) return;  // drawn before the engine knew of the stop string
  std::string text;
  if (EndsSequence(token.token)) {
    sequence.text.CountEnd();
  } else {
    text = sequence.text.Append(token.token);
  }
  if ((response_.text && !text.empty()) || response_.token_ids || response_.logprobs) {
    v1::Delta& delta = OpenDelta(index, events);
    if (response_.text) delta.mutable_text()->append(text);
    if (response_.token_ids) delta.add_token_ids(static_cast<uint32_t>(token.token));
    if (response_.logprobs) ToWire(token.logprobs, *delta.add_logprobs());
  }
  if (sequence.text.stopped_by()) {
    services_.engine().FinishAt(submission_.key, index, sequence.text.num_tokens());
  }
}

// EOS and stop tokens give no text, whatever the tokenizer makes of them. They can't be drawn below
// min_new_tokens.
bool Generation::EndsSequence(TokenId token) const {
  return Contains(request_->stopping.eos_token_ids, token) ||
         Contains(request_->stopping.stop_token_ids, token);
}

// Without the tokens that were drawn before the engine knew of a stop string.
Usage Generation::UsageOf(int index, const Finish& finish) const {
  Usage usage = finish.usage;
  const SequenceText& text = sequences_[index].text;
  if (text.stopped_by()) usage.completion_tokens = text.num_tokens();
  return usage;
}

void Generation::AddFinish(int index, const Finish& finish,
                           std::vector<v1::GenerateEvent>& events) {
  --unfinished_;
  const Usage usage = UsageOf(index, finish);
  usage_.prompt_tokens = usage.prompt_tokens;
  usage_.cached_tokens = usage.cached_tokens;
  usage_.completion_tokens += usage.completion_tokens;
  usage_.preemptions += usage.preemptions;
  if (finish.reason == FinishReason::kFailed && !sequences_[index].text.stopped_by()) {
    status_ = finish.status;
  } else {
    AddFinishedEvent(index, finish, usage, events);
  }
  if (unfinished_ == 0 && !status_.ok()) AddFailedEvent(finish, events);
}

// One for the whole request.
void Generation::AddFailedEvent(const Finish& last, std::vector<v1::GenerateEvent>& events) const {
  if (absl::IsInternal(status_)) {
    Log(absl::StrCat("request \"", absl::CHexEscape(request_->request_id),
                     "\" failed: ", status_.ToString()));
  }
  v1::Failed* failed = events.emplace_back().mutable_failed();
  failed->set_code(static_cast<int>(status_.code()));
  failed->set_message(std::string(status_.message()));
  ToWire(usage_, *failed->mutable_usage());
  ToWire(last.timings, *failed->mutable_timings());
}

void Generation::AddFinishedEvent(int index, const Finish& finish, const Usage& usage,
                                  std::vector<v1::GenerateEvent>& events) {
  SequenceText& text = sequences_[index].text;
  const std::string rest = text.Finish();
  if (response_.text && !rest.empty()) OpenDelta(index, events).mutable_text()->append(rest);
  v1::Finished* finished = events.emplace_back().mutable_finished();
  finished->set_sequence_index(static_cast<uint32_t>(index));
  ToWire(usage, *finished->mutable_usage());
  ToWire(finish.timings, *finished->mutable_timings());
  if (text.stopped_by()) {
    finished->set_finish_reason(v1::FINISH_REASON_STOP_STRING);
    finished->mutable_stop_match()->set_text(*text.stopped_by());
    return;
  }
  finished->set_finish_reason(ToWire(finish.reason));
  if (finish.stop_token) {
    finished->mutable_stop_match()->set_token_id(static_cast<uint32_t>(*finish.stop_token));
  }
}

}  // namespace quire
