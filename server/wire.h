// Vocabulary types in their wire form.
#ifndef QUIRE_SERVER_WIRE_H_
#define QUIRE_SERVER_WIRE_H_

#include "absl/time/time.h"
#include "core/sampling_params.h"
#include "quire/v1/generation.pb.h"
#include "scheduler/token_event.h"

namespace quire {

void ToWire(absl::Duration duration, google::protobuf::Duration& wire);
void ToWire(const Timings& timings, v1::Timings& wire);
void ToWire(const Usage& usage, v1::Usage& wire);
void ToWire(const TokenLogprobs& logprobs, v1::TokenLogprobs& wire);
v1::FinishReason ToWire(FinishReason reason);  // UNSPECIFIED for kFailed

}  // namespace quire

#endif  // QUIRE_SERVER_WIRE_H_
