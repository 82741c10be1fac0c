// How the next token is drawn: read by the scheduler and by the sampler alike.
#ifndef QUIRE_CORE_SAMPLING_PARAMS_H_
#define QUIRE_CORE_SAMPLING_PARAMS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "core/ids.h"

namespace quire {

// Applied in this order: bias, penalties, temperature, top_k, top_p, min_p. All values are finite
// and in range (the server checks); the defaults change nothing.
struct SamplingParams {
  float temperature = 1.0F;         // >= 0; 0 = greedy (highest logit, lowest id on a tie)
  int32_t top_k = 0;                // keep the k likeliest tokens; 0 = off
  float top_p = 1.0F;               // (0, 1]; keep the smallest likeliest set with this mass
  float min_p = 0.0F;               // [0, 1]; drop tokens under min_p * the likeliest one's mass
  float repetition_penalty = 1.0F;  // > 0; over prompt and output tokens
  float presence_penalty = 0.0F;    // over output tokens
  float frequency_penalty = 0.0F;   // over output tokens, times their count
  std::vector<std::pair<TokenId, float>> logit_bias;  // sorted by id, ids distinct
  uint64_t seed = 0;

  bool HasPenalties() const {
    return repetition_penalty != 1.0F || presence_penalty != 0.0F || frequency_penalty != 0.0F;
  }
};

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0F;  // natural log, of log_softmax of the raw logits
};

// The chosen (or given) token and the likeliest ones. chosen.token is kNoToken and `top` empty
// where there is nothing to tell: the row's greatest logit is no finite number.
struct TokenLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // descending, ties by lowest id
};

// What the sampler made of one row. `token` is kNoToken where the row gives nothing to choose: its
// greatest logit is no finite number.
struct SampledToken {
  TokenId token = 0;
  TokenLogprobs logprobs;  // filled where asked
};

}  // namespace quire

#endif  // QUIRE_CORE_SAMPLING_PARAMS_H_
