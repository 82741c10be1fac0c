#include "server/embed_job.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "server/log.h"
#include "server/wire.h"

namespace quire {

size_t EmbedJob::TextBytes(const Wire& wire) {
  size_t bytes = 0;
  for (const v1::EmbedInput& input : wire.inputs()) bytes += input.text().size();
  return bytes;
}

EmbedJob::EmbedJob(Services& services, DecodedEmbed decoded,
                   std::unique_ptr<LiveRequests::Entry> entry)
    : services_(services),
      decoded_(std::move(decoded)),
      entry_(std::move(entry)),
      unfinished_(decoded_.requests.size()) {
  response_.set_request_id(decoded_.request_id);
  for (size_t i = 0; i < decoded_.requests.size(); ++i) response_.add_embeddings();
}

absl::StatusOr<std::unique_ptr<EmbedJob>> EmbedJob::Start(Services& services, const Wire& wire,
                                                          absl::Time deadline,
                                                          std::function<void()> on_ready) {
  QUIRE_ASSIGN_OR_RETURN(DecodedEmbed decoded,
                         DecodeEmbedRequest(wire, services.codec(), deadline));
  for (size_t i = 0; i < decoded.requests.size(); ++i) {
    const absl::Status fits = services.engine().CheckFits(*decoded.requests[i]);
    if (!fits.ok()) {
      return absl::Status(fits.code(), absl::StrCat("inputs[", i, "]: ", fits.message()));
    }
  }
  QUIRE_ASSIGN_OR_RETURN(auto entry,
                         services.live_requests.Insert(decoded.tenant, decoded.request_id));
  std::unique_ptr<EmbedJob> made(new EmbedJob(services, std::move(decoded), std::move(entry)));
  QUIRE_ASSIGN_OR_RETURN(made->submission_, services.engine().SubmitBatch(made->decoded_.requests,
                                                                          std::move(on_ready)));
  const bool aborted = made->entry_->SetKeys(made->submission_.first_key,
                                             static_cast<int64_t>(made->decoded_.requests.size()));
  if (aborted) made->Cancel();
  return made;
}

RequestKey EmbedJob::key(size_t input) const {
  return RequestKey(submission_.first_key.value() + static_cast<int64_t>(input));
}

void EmbedJob::Cancel() {
  for (size_t i = 0; i < decoded_.requests.size(); ++i) services_.engine().Cancel(key(i));
}

void EmbedJob::Fail(const absl::Status& status) {
  for (size_t i = 0; i < decoded_.requests.size(); ++i) services_.engine().Fail(key(i), status);
}

void EmbedJob::Advance() {
  for (auto events = submission_.stream->Take(); !events.empty();
       events = submission_.stream->Take()) {
    for (const TokenEvent& event : events) {
      if (!event.finish) continue;
      --unfinished_;
      const auto input = static_cast<int>(event.request.value() - submission_.first_key.value());
      absl::Status added = AddFinish(input, *event.finish);
      if (added.ok() || !status_.ok()) continue;
      status_ = std::move(added);
      Cancel();
    }
  }
  if (!ended()) return;
  ToWire(usage_, *response_.mutable_usage());
  entry_->Free();  // before the client learns of the end
  if (absl::IsInternal(status_)) {
    Log(absl::StrCat("request \"", absl::CHexEscape(decoded_.request_id),
                     "\" failed: ", status_.ToString()));
  }
}

absl::Status EmbedJob::AddFinish(int input, const Finish& finish) {
  usage_.prompt_tokens += finish.usage.prompt_tokens;
  usage_.cached_tokens += finish.usage.cached_tokens;
  usage_.preemptions += finish.usage.preemptions;
  if (finish.reason == FinishReason::kFailed) return finish.status;
  if (finish.reason == FinishReason::kCancelled) return absl::CancelledError("aborted");
  return FinishEmbedding(decoded_.normalize, finish.embedding,
                         *response_.mutable_embeddings(input));
}

}  // namespace quire
