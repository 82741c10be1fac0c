#include "server/generation.h"

#include <algorithm>
#include <utility>

#include "core/status_macros.h"
#include "server/limits.h"
#include "server/wire.h"

namespace quire {
namespace {

// The largest end at most `limit` bytes from `begin` that splits no character.
size_t PieceEnd(const std::string& text, size_t begin, size_t limit) {
  if (text.size() - begin <= limit) return text.size();
  size_t end = begin + limit;
  while ((static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  return end;
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
    AddEchoEvents(events);
  }
  for (OneSequence& sequence : sequences_) sequence.open_delta = -1;
  for (const TokenEvent& event : submission_.stream->Take()) {
    if (!event.prompt_logprobs.empty()) AddPromptLogprobEvents(event.prompt_logprobs, events);
    if (event.token) AddToken(event.sequence_index, *event.token, events);
    if (event.finish) AddFinish(event.sequence_index, *event.finish, events);
  }
  return events;
}

v1::GenerateEvent Generation::StartedEvent() const {
  v1::GenerateEvent event;
  event.mutable_started()->set_request_id(request_->request_id);
  event.mutable_started()->set_prompt_tokens(static_cast<uint32_t>(request_->prompt.size()));
  event.mutable_started()->set_seed(request_->sampling.seed);
  return event;
}

void Generation::AddEchoEvents(std::vector<v1::GenerateEvent>& events) const {
  if (!response_.echo_prompt) return;
  if (response_.text) {
    const std::string& text = response_.prompt_text;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = PieceEnd(text, begin, kPromptPieceBytes);
      events.emplace_back().mutable_prompt()->set_text(text.substr(begin, end - begin));
      begin = end;
    }
  }
  if (!response_.token_ids) return;
  constexpr size_t kIdsPerPiece = kPromptPieceBytes / 5;  // a varint takes 5 bytes at most
  for (size_t begin = 0; begin < request_->prompt.size(); begin += kIdsPerPiece) {
    v1::Prompt* piece = events.emplace_back().mutable_prompt();
    const size_t end = std::min(begin + kIdsPerPiece, request_->prompt.size());
    for (size_t i = begin; i < end; ++i) {
      piece->add_token_ids(static_cast<uint32_t>(request_->prompt[i]));
    }
  }
}

void Generation::AddPromptLogprobEvents(const std::vector<TokenLogprobs>& logprobs,
                                        std::vector<v1::GenerateEvent>& events) {
  const size_t bytes_each = 16 * (1 + logprobs.front().top.size());
  const size_t per_piece = std::max<size_t>(1, kPromptPieceBytes / bytes_each);
  for (size_t begin = 0; begin < logprobs.size(); begin += per_piece) {
    v1::Prompt* piece = events.emplace_back().mutable_prompt();
    const size_t end = std::min(begin + per_piece, logprobs.size());
    for (size_t i = begin; i < end; ++i) ToWire(logprobs[i], *piece->add_logprobs());
  }
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
  const std::string text = sequence.text.Append(token.token);
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

void Generation::AddFinish(int index, const Finish& finish,
                           std::vector<v1::GenerateEvent>& events) {
  --unfinished_;
  if (finish.reason == FinishReason::kFailed && !sequences_[index].text.stopped_by()) {
    status_ = finish.status;
  } else {
    AddFinishedEvent(index, finish, events);
  }
  if (unfinished_ > 0 || status_.ok()) return;
  // One event for the whole request, with what its last sequence had.
  v1::Failed* failed = events.emplace_back().mutable_failed();
  failed->set_code(static_cast<int>(status_.code()));
  failed->set_message(std::string(status_.message()));
  ToWire(finish.usage, *failed->mutable_usage());
  ToWire(finish.timings, *failed->mutable_timings());
}

void Generation::AddFinishedEvent(int index, const Finish& finish,
                                  std::vector<v1::GenerateEvent>& events) {
  SequenceText& text = sequences_[index].text;
  const std::string rest = text.Finish();
  if (response_.text && !rest.empty()) OpenDelta(index, events).mutable_text()->append(rest);
  v1::Finished* finished = events.emplace_back().mutable_finished();
  finished->set_sequence_index(static_cast<uint32_t>(index));
  ToWire(finish.usage, *finished->mutable_usage());
  ToWire(finish.timings, *finished->mutable_timings());
  if (text.stopped_by()) {
    finished->set_finish_reason(v1::FINISH_REASON_STOP_STRING);
    finished->mutable_stop_match()->set_text(*text.stopped_by());
    finished->mutable_usage()->set_completion_tokens(static_cast<uint32_t>(text.num_tokens()));
    return;
  }
  finished->set_finish_reason(ToWire(finish.reason));
  if (finish.stop_token) {
    finished->mutable_stop_match()->set_token_id(static_cast<uint32_t>(*finish.stop_token));
  }
}

}  // namespace quire
