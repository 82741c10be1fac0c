// A decoder as data: what config.json says, validated. A new architecture is a new mapping in
// model_config.cc; the decoder runs every description.
//
// Letters: L layers, E hidden size, H query heads, Hkv key/value heads, D head dim, F feed-forward
// size, V vocabulary.
#ifndef QUIRE_MODEL_MODEL_CONFIG_H_
#define QUIRE_MODEL_MODEL_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attention/attention.h"
#include "core/dtype.h"
#include "core/ids.h"
#include "model/rope.h"
#include "model/rope_scaling.h"

namespace quire {

struct ModelConfig {
  std::string architecture;  // "Qwen3ForCausalLM", ...
  std::string model_type;    // "qwen3", ...

  int64_t hidden_size = 0;              // E
  int num_layers = 0;                   // L
  int num_heads = 0;                    // H
  int num_kv_heads = 0;                 // Hkv
  int head_dim = 0;                     // D
  int64_t intermediate_size = 0;        // F
  int64_t vocab_size = 0;               // V
  int64_t max_position_embeddings = 0;  // context
  bool tie_word_embeddings = false;
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  float norm_eps = 1e-6F;
  RopeConfig rope;
  std::vector<int> layer_windows;  // [L], 0 = full attention

  // What the checkpoint says it is stored in; unset where config.json is silent.
  std::optional<DType> checkpoint_dtype;
  std::vector<TokenId> eos_token_ids;  // of generation_config.json, else of config.json

  // The longest context that --max-context may ask for: config.json's, stretched by what the rotary
  // scaling is made for.
  int64_t max_context() const { return StretchedPositions(rope, max_position_embeddings); }

  ModelRopes model_ropes() const {
    return {.own = absl::MakeConstSpan(&rope, 1), .max_positions = max_position_embeddings};
  }

  GqaShape attention_shape(int layer) const {
    return {.num_heads = num_heads,
            .num_kv_heads = num_kv_heads,
            .head_dim = head_dim,
            .value_dim = head_dim,
            .window = layer_windows[layer]};
  }
};

// Reads config.json and, where present, generation_config.json of a checkpoint directory, as
// transformers 4 and 5 write them. Every fault is one line with the file, the field, what was
// found and what was expected; an architecture that is not built is refused with those that are.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& directory);

}  // namespace quire

#endif  // QUIRE_MODEL_MODEL_CONFIG_H_
