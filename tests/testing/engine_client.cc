#include "tests/testing/engine_client.h"

#include <utility>

#include "core/check.h"

namespace quire::testing {

Call::Call(Engine& engine, Request request) : engine_(engine) {
  unfinished_ = request.num_sequences;
  outcome_.sequences.resize(request.num_sequences);
  auto submission =
      engine.Submit(std::make_shared<const Request>(std::move(request)), [signal = signal_] {
        const std::lock_guard<std::mutex> lock(signal->mutex);
        signal->ready = true;
        signal->changed.notify_all();
      });
  QUIRE_CHECK(submission.ok()) << submission.status();
  submission_ = *std::move(submission);
}

void Call::ReadMore() {
  {
    std::unique_lock<std::mutex> lock(signal_->mutex);
    signal_->changed.wait(lock, [&] { return signal_->ready; });
    signal_->ready = false;
  }
  for (TokenEvent& event : submission_.stream->Take()) {
    Outcome::OneSequence& sequence = outcome_.sequences[event.sequence_index];
    if (!event.prompt_logprobs.empty()) outcome_.prompt_logprobs = std::move(event.prompt_logprobs);
    if (event.token) {
      sequence.tokens.push_back(event.token->token);
      sequence.logprobs.push_back(event.token->logprobs);
    }
    if (event.finish) {
      QUIRE_CHECK(!sequence.finish);
      sequence.finish = std::move(event.finish);
      --unfinished_;
    }
  }
}

const Outcome& Call::AwaitEnd() {
  while (unfinished_ > 0) ReadMore();
  return outcome_;
}

const Outcome& Call::AwaitTokens(size_t count) {
  while (unfinished_ > 0 && outcome_.sequences[0].tokens.size() < count) ReadMore();
  return outcome_;
}

}  // namespace quire::testing
