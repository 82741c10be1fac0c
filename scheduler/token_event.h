// What a step tells the client: small values, copied and never shared.
#ifndef QUIRE_SCHEDULER_TOKEN_EVENT_H_
#define QUIRE_SCHEDULER_TOKEN_EVENT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/ids.h"
#include "core/sampling_params.h"

namespace quire {

enum class FinishReason {
  kEos,
  kStopToken,
  kStopString,
  kMaxTokens,
  kContextLimit,
  kTimeLimit,
  kCancelled,
  kFailed,  // Finish::status says why
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, found in the prefix cache at first admission
  int64_t completion_tokens = 0;
  int64_t preemptions = 0;
};

// Since Submit; a phase not reached is zero.
struct Timings {
  absl::Duration queued;               // until first admitted
  absl::Duration prefill;              // from there to the first token
  absl::Duration time_to_first_token;  // queued + prefill
  absl::Duration total;
};

struct Finish {
  FinishReason reason = FinishReason::kFailed;
  std::optional<TokenId> stop_token;  // with kEos and kStopToken
  absl::Status status;                // with kFailed
  std::vector<float> embedding;       // with kMaxTokens, if the request pools: [E]
  Usage usage;
  Timings timings;
};

struct TokenEvent {
  RequestKey request;
  int sequence_index = 0;
  std::optional<SampledToken> token;
  // Of prompt tokens 1.. in order, once, before the first token of sequence 0.
  std::vector<TokenLogprobs> prompt_logprobs;
  std::optional<Finish> finish;  // the last event of its sequence
};

}  // namespace quire

#endif  // QUIRE_SCHEDULER_TOKEN_EVENT_H_
