#include "client/bench/stream_call.h"

#include "absl/time/clock.h"

namespace quire::bench {

StreamCall::StreamCall(Owner& owner, size_t index, const Connection& connection,
                       Clock::time_point start, double arrival_s)
    : owner_(owner),
      index_(index),
      connection_(connection),
      start_(start),
      stub_(connection.channel()) {
  record_.arrival_s = arrival_s;
}

void StreamCall::Start(const v1::GenerateRequest& request, absl::Duration timeout) {
  if (timeout != absl::InfiniteDuration()) {
    context_.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  }
  record_.sent_s = NowSeconds();
  if (record_.arrival_s < 0) record_.arrival_s = record_.sent_s;
  stub_.async()->GenerateStream(&context_, &request, this);
  StartRead(&event_);
  StartCall();
}

void StreamCall::OnReadDone(bool ok) {
  if (!ok) return;
  record_.end_s = NowSeconds();
  if (event_.has_started()) {
    record_.input_tokens = static_cast<int>(event_.started().prompt_tokens());
  }
  record_.AddTokens(event_.delta().token_ids_size(), record_.end_s);
  StartRead(&event_);
}

void StreamCall::OnDone(const grpc::Status& status) {
  if (!status.ok()) record_.end_s = NowSeconds();
  record_.status = connection_.Explain(status);
  owner_.OnCallDone(*this);
}

}  // namespace quire::bench
