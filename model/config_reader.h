// What the families' readers share: the fields that most config.json files have, under the names
// and with the defaults of each family.
#ifndef QUIRE_MODEL_CONFIG_READER_H_
#define QUIRE_MODEL_CONFIG_READER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/json.h"
#include "model/model_config.h"
#include "model/rope_config.h"

namespace quire {

// Beyond what any model has, and small enough that no product of them overflows.
inline constexpr int64_t kMaxConfigInt = (int64_t{1} << 31) - 1;
inline constexpr int64_t kMaxHeads = 1 << 14;
inline constexpr int64_t kMaxHeadDim = 256;
inline constexpr int64_t kMaxLatentRank = 1 << 12;
inline constexpr int64_t kMaxIntermediateSize = 1 << 22;

// An integer: its key, and what transformers takes where the file lacks it (0: it must be there).
struct SizeKey {
  const char* key;
  int64_t absent = 0;
};

struct CommonKeys {
  SizeKey hidden_size = {"hidden_size"};
  SizeKey num_layers = {"num_hidden_layers"};
  SizeKey num_heads = {"num_attention_heads"};
  SizeKey intermediate_size = {"intermediate_size"};
  SizeKey vocab_size = {"vocab_size"};
  SizeKey max_positions = {"max_position_embeddings"};
  int64_t absent_kv_heads = 0;  // 0: as many as query heads. null stands for that in every family
  int64_t absent_head_dim = 0;  // 0: hidden_size / num_heads. null likewise
  const char* activation = "hidden_act";
  const char* absent_activation = "silu";
  const char* eps = "rms_norm_eps";
  double absent_eps = 1e-6;
  bool absent_tied = false;
};

// Sizes, norm eps, activation and tied embeddings; all layers alike, without windows; the scale
// 1 / sqrt(D).
absl::Status ReadCommon(const JsonNode& root, const CommonKeys& keys, ModelConfig& config);

// One rotation for all layers.
absl::Status ReadRotation(const JsonNode& root, RopeDefaults defaults, ModelConfig& config);

// The window of each layer: `layer_types` where the file has them, else `window` where
// slides(layer).
template <typename Slides>
absl::Status ReadLayerWindows(const JsonNode& root, int64_t window, Slides slides,
                              ModelConfig& config);
absl::Status ReadLayerTypes(const JsonNode& root, int64_t window, ModelConfig& config, bool& found);

// Qwen: layers from max_window_layers on slide, if use_sliding_window.
absl::Status ReadQwenWindows(const JsonNode& root, ModelConfig& config);

// What config.json leaves to the family of a model with latent attention.
struct MlaForm {
  bool interleaved = false;
  bool rope_per_head = false;  // MlaShape::rope_per_head; without a norm of the latent
};

// Latent attention by DeepSeek's keys: ranks and head dims, its rotation and scale.
absl::Status ReadMla(const JsonNode& root, const MlaForm& form, ModelConfig& config);

// Granite: scales of embeddings, scores, residuals and logits.
absl::Status ReadMultipliers(const JsonNode& root, ModelConfig& config);

// sliding_window, and what transformers takes for a file without it; null is none.
absl::StatusOr<int64_t> ReadWindow(const JsonNode& root, int64_t absent);

// A number above 0, to 1e6.
absl::Status ReadScale(const JsonNode& root, const char* key, double absent, float& field);
absl::Status ReadFlag(const JsonNode& root, const char* key, bool absent, bool& field);
absl::Status ReadSize(const JsonNode& root, SizeKey key, int64_t min, int64_t max, int& field);
absl::Status ReadSize(const JsonNode& root, SizeKey key, int64_t min, int64_t max, int64_t& field);

template <typename Slides>
absl::Status ReadLayerWindows(const JsonNode& root, int64_t window, Slides slides,
                              ModelConfig& config) {
  bool found = false;
  const absl::Status read = ReadLayerTypes(root, window, config, found);
  if (!read.ok() || found) return read;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    config.layers[layer].window = slides(layer) ? static_cast<int>(window) : 0;
  }
  return absl::OkStatus();
}

}  // namespace quire

#endif  // QUIRE_MODEL_CONFIG_READER_H_
