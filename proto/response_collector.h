// Joins the events of a stream into the GenerateResponse that Generate returns: for the server's
// unary call, and for clients that read the stream.
#ifndef QUIRE_PROTO_RESPONSE_COLLECTOR_H_
#define QUIRE_PROTO_RESPONSE_COLLECTOR_H_

#include <utility>

#include "quire/v1/generation.pb.h"

namespace quire {

class ResponseCollector {
 public:
  void Add(const v1::GenerateEvent& event);

  // What has come so far: whole once the stream has ended with OK.
  const v1::GenerateResponse& response() const { return response_; }
  v1::GenerateResponse Take() { return std::move(response_); }
  // Whether the server has accepted the request.
  bool started() const { return started_; }

 private:
  v1::GeneratedSequence& Sequence(uint32_t index);
  void AddPrompt(const v1::Prompt& prompt);
  void AddFinished(const v1::Finished& finished);

  v1::GenerateResponse response_;
  bool started_ = false;
};

}  // namespace quire

#endif  // QUIRE_PROTO_RESPONSE_COLLECTOR_H_
