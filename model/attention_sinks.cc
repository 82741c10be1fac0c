#include "model/attention_sinks.h"

#include "absl/strings/str_cat.h"

namespace quire {
namespace {

// Why the model can't take a window that it was not made with; null: it can.
const char* Obstacle(const AttentionSinkOptions& options, const ModelConfig& config) {
  if (config.is_encoder) return "it is an encoder, whose rows see the whole text";
  if (config.mla) return "latent attention has no sinks and no window";
  if (config.learned_positions) return "its positions are learned, and end with their table";
  if (config.sink_tokens > 0 && options.sinks > 0) {
    return "it has learned sink tokens of its own (--attention-window alone keeps those)";
  }
  return nullptr;
}

}  // namespace

absl::Status ApplyAttentionSinks(const AttentionSinkOptions& options, int64_t positions,
                                 ModelConfig& config) {
  const auto& [sinks, window] = options;
  if (window == 0) {
    if (sinks == 0) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("--attention-sinks ", sinks,
                     " needs --attention-window: the tokens that stay beside them"));
  }
  if (const char* obstacle = Obstacle(options, config)) {
    return absl::FailedPreconditionError(absl::StrCat("--attention-window ", window, ": ",
                                                      config.architecture, " can't: ", obstacle));
  }
  const int64_t seen = int64_t{sinks} + config.sink_tokens + window;
  if (seen > positions) {
    return absl::OutOfRangeError(absl::StrCat("--attention-sinks and --attention-window: ", seen,
                                              " tokens would be in sight; the model has ",
                                              positions, " positions"));
  }
  for (LayerConfig& layer : config.layers) {
    if (layer.window > 0 && layer.window <= window) continue;
    layer.window = window;
    layer.sinks = sinks;
    layer.streams = true;
  }
  config.streamed_positions = seen;
  return absl::OkStatus();
}

}  // namespace quire
