// One accepted request: its tokens become wire events. Used by the unary and the streaming call
// alike; knows nothing of gRPC.
#ifndef QUIRE_SERVER_GENERATION_H_
#define QUIRE_SERVER_GENERATION_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "quire/v1/generation.pb.h"
#include "server/prompt_pieces.h"
#include "server/request_codec.h"
#include "server/sequence_text.h"
#include "server/services.h"

namespace quire {

// Not thread-safe: one reader at a time. Cancel may come from any thread.
class Generation {
 public:
  using Wire = v1::GenerateRequest;
  static size_t TextBytes(const Wire& wire) { return quire::TextBytes(wire); }

  // Decodes, tokenises and submits; `on_ready` as TokenStream has it. Takes time in proportion to
  // the prompt.
  static absl::StatusOr<std::unique_ptr<Generation>> Start(Services& services,
                                                           const v1::GenerateRequest& wire,
                                                           absl::Time deadline,
                                                           std::function<void()> on_ready);

  // What is new, as events in the order of the interface's contract; empty when nothing waits. The
  // tokens of a sequence that waited together come as one Delta; a Prompt comes alone.
  std::vector<v1::GenerateEvent> Take();

  // Whether the last event has been taken, and the status of the call then.
  bool ended() const { return unfinished_ == 0; }
  const absl::Status& status() const { return status_; }

  void Cancel() { services_.engine().Cancel(submission_.key); }
  void Fail(const absl::Status& status) { services_.engine().Fail(submission_.key, status); }

 private:
  Generation(Services& services, DecodedRequest decoded,
             std::unique_ptr<LiveRequests::Entry> entry);

  v1::GenerateEvent StartedEvent() const;
  void AddToken(int index, const SampledToken& token, std::vector<v1::GenerateEvent>& events);
  void AddFinish(int index, const Finish& finish, std::vector<v1::GenerateEvent>& events);
  void AddFinishedEvent(int index, const Finish& finish, const Usage& usage,
                        std::vector<v1::GenerateEvent>& events);
  void AddFailedEvent(const Finish& last, std::vector<v1::GenerateEvent>& events) const;
  bool EndsSequence(TokenId token) const;
  Usage UsageOf(int index, const Finish& finish) const;
  v1::Delta& OpenDelta(int index, std::vector<v1::GenerateEvent>& events);

  Services& services_;
  const std::shared_ptr<const Request> request_;
  const ResponseOptions response_;
  const std::unique_ptr<LiveRequests::Entry> entry_;
  Engine::Submission submission_;

  struct OneSequence {
    SequenceText text;
    int open_delta = -1;  // index of its Delta among the events being made
  };
  std::vector<OneSequence> sequences_;
  PromptPieces prompt_;
  std::vector<TokenEvent> taken_;  // from the stream
  size_t next_ = 0;                // of taken_
  Usage usage_;                    // of the sequences that have ended, summed
  bool started_ = false;
  int unfinished_;
  absl::Status status_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_GENERATION_H_
