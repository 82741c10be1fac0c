// The contract of drawing tokens from logits. A backend implements it; ops/reference has the
// oracle, which sorts. The arithmetic is stated to the bit (ops/sampling_math.h), so that every
// backend draws the same token from the same logits.
//
// Letters: R rows of logits, V vocabulary.
#ifndef QUIRE_OPS_SAMPLER_H_
#define QUIRE_OPS_SAMPLER_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "core/device_memory.h"
#include "core/ids.h"
#include "core/sampling_params.h"

namespace quire {

// One token to draw.
struct SampleRow {
  int64_t logits_row = 0;  // several rows may share one (forks of a prompt)
  const SamplingParams* params = nullptr;
  uint32_t sequence_index = 0;          // of its request: forks draw apart
  uint64_t output_position = 0;         // 0 for the first generated token
  absl::Span<const TokenId> prompt;     // read by the penalties; host memory
  absl::Span<const TokenId> output;     //
  absl::Span<const TokenId> banned;     // ids that min_new_tokens forbids now
  std::optional<int32_t> top_logprobs;  // unset: no log-probabilities; 0: the chosen token's only
  // The output goes on with a token that isn't known yet: what the batch before draws as its
  // (*pending)-th. Only where batches overlap; a draw of no token adds none.
  std::optional<int32_t> pending;
  // Whose row it is, by a number that no other sequence ever has; 0: unknown. Samplers may remember
  // a sequence, of which no row follows a draw of no token: its prompt stays, and an output that is
  // no shorter than before, a pending token counted, goes on from there.
  uint64_t sequence = 0;
};

class Sampler {
 public:
  virtual ~Sampler() = default;

  // Draws a token for each of `rows` from logits fp32 [R, V], which stay as they are:
  //   y = logits + bias; banned ids become -infinity
  //   y = y > 0 ? y / repetition_penalty : y * repetition_penalty    for ids in prompt or output
  //   y = y - frequency_penalty * count - presence_penalty           for ids in output
  //   temperature 0: the greatest y, the lowest id on a tie; else
  //   w = ExpWeight(y, max y, TemperatureScale(temperature)), an integer; a tiny temperature leaves
  //     weight to the greatest y alone: greedy, but for ties, which are drawn evenly
  //   top_k: the first k by (y descending, id ascending)
  //   top_p: of those, the shortest run in that order whose weights reach top_p of their sum
  //   min_p: of those, the ones with w >= min_p * 2^40
  //   the id at which the running sum of w, by ascending id, passes a random share of the total.
  // NaN counts as -infinity. Where the greatest y is no finite number, the token is kNoToken; so it
  // is where log-probabilities are asked for and the greatest raw logit is none. results has the
  // size of rows; log-probabilities are log_softmax of the raw logits, and no NaN is among the top.
  // After warm-up nothing is allocated if `results` comes back as it was.
  virtual void Sample(const DeviceMatrix& logits, absl::Span<const SampleRow> rows,
                      absl::Span<SampledToken> results) = 0;

  // Scores given tokens: results[i] is about targets[i] under logits row i, with the `top`
  // likeliest tokens beside it; where a row's greatest logit is no finite number, chosen.token is
  // kNoToken. targets and results have R elements.
  virtual void Score(const DeviceMatrix& logits, absl::Span<const TokenId> targets, int32_t top,
                     absl::Span<TokenLogprobs> results) = 0;
};

}  // namespace quire

#endif  // QUIRE_OPS_SAMPLER_H_
