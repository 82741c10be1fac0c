// What a client wants, decoded and checked: immutable from Submit to the last event.
#ifndef QUIRE_SCHEDULER_REQUEST_H_
#define QUIRE_SCHEDULER_REQUEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/ids.h"
#include "core/pooling.h"
#include "core/sampling_params.h"

namespace quire {

struct StoppingParams {
  // Unset: as many as the capacity leaves, and the finish reason is then CONTEXT_LIMIT. 0 computes
  // the prompt only (for its log-probabilities).
  std::optional<int64_t> max_new_tokens;
  int64_t min_new_tokens = 0;           // eos and stop tokens can't be drawn before
  std::vector<TokenId> eos_token_ids;   // of the model; empty with ignore_eos
  std::vector<TokenId> stop_token_ids;  // of the request
  absl::Duration time_limit = absl::InfiniteDuration();  // from Submit; ends with TIME_LIMIT
};

struct Request {
  std::string request_id;  // for logs
  std::string tenant;
  int32_t priority = 0;         // higher runs first
  std::vector<TokenId> prompt;  // not empty
  SamplingParams sampling;
  StoppingParams stopping;
  int num_sequences = 1;                // samples of the one prompt
  std::optional<int32_t> top_logprobs;  // unset: none; 0: of the chosen token only
  bool prompt_logprobs = false;         // reads no cached prefix: every row is computed
  // Set: nothing is drawn (max_new_tokens is 0); the hidden states are pooled into
  // Finish::embedding.
  std::optional<Pooling> pooling;
  std::string cache_salt;
  bool bypass_prefix_cache = false;              // neither reads cached blocks nor leaves any
  absl::Time deadline = absl::InfiniteFuture();  // of SteadyNow; ends with DEADLINE_EXCEEDED
};

}  // namespace quire

#endif  // QUIRE_SCHEDULER_REQUEST_H_
