// Endless generation in bounded memory: full attention becomes a window, and the first tokens of
// each sequence stay in sight of every row (StreamingLLM; Xiao et al. 2023).
#ifndef QUIRE_MODEL_ATTENTION_SINKS_H_
#define QUIRE_MODEL_ATTENTION_SINKS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "model/model_config.h"

namespace quire {

struct AttentionSinkOptions {
  int sinks = 0;   // N: positions [0, N) are seen by every row
  int window = 0;  // W: and the last W; 0: attention stays the model's own
};

// Gives every layer that sees further than W a window of W and N sinks. The model sees N + W of its
// `positions`, however long a sequence gets. INVALID_ARGUMENT for options that contradict each
// other, OUT_OF_RANGE with the numbers for more than its positions, FAILED_PRECONDITION for a model
// that can't take them.
absl::Status ApplyAttentionSinks(const AttentionSinkOptions& options, int64_t positions,
                                 ModelConfig& config);

}  // namespace quire

#endif  // QUIRE_MODEL_ATTENTION_SINKS_H_
