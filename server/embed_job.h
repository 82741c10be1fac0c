// One accepted Embed call: its inputs' vectors become one response. Knows nothing of gRPC.
#ifndef QUIRE_SERVER_EMBED_JOB_H_
#define QUIRE_SERVER_EMBED_JOB_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "quire/v1/generation.pb.h"
#include "server/embed_codec.h"
#include "server/services.h"

namespace quire {

// Not thread-safe: one reader at a time. Cancel and Fail may come from any thread.
class EmbedJob {
 public:
  using Wire = v1::EmbedRequest;
  static size_t TextBytes(const Wire& wire);

  // As Generation has it.
  static absl::StatusOr<std::unique_ptr<EmbedJob>> Start(Services& services, const Wire& wire,
                                                         absl::Time deadline,
                                                         std::function<void()> on_ready);

  // Takes what is new. The first input that fails ends the others.
  void Advance();
  // Whether all inputs have ended, and the status of the call then.
  bool ended() const { return unfinished_ == 0; }
  const absl::Status& status() const { return status_; }
  v1::EmbedResponse TakeResponse() { return std::move(response_); }

  void Cancel();
  void Fail(const absl::Status& status);

 private:
  EmbedJob(Services& services, DecodedEmbed decoded, std::unique_ptr<LiveRequests::Entry> entry);
  RequestKey key(size_t input) const;
  absl::Status AddFinish(int input, const Finish& finish);

  Services& services_;
  const DecodedEmbed decoded_;
  const std::unique_ptr<LiveRequests::Entry> entry_;
  Engine::BatchSubmission submission_;
  v1::EmbedResponse response_;
  Usage usage_;
  size_t unfinished_;
  absl::Status status_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_EMBED_JOB_H_
