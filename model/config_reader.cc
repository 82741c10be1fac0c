#include "model/config_reader.h"

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"

namespace quire {
namespace {

constexpr int64_t kMaxLayers = 1000;
constexpr int64_t kMaxHiddenSize = 1 << 20;
constexpr int64_t kMaxVocabSize = 1 << 22;
constexpr int64_t kMaxPositions = 1 << 26;

struct NamedActivation {
  const char* name;
  Activation kind;
};

// As transformers' ACT2FN names them.
constexpr NamedActivation kActivations[] = {
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"gelu", Activation::kGeluExact},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"relu", Activation::kRelu},
};

// Of latents, whatever rms_norm_eps says (transformers' DeepseekV2Attention).
constexpr float kLatentNormEps = 1e-6F;

absl::Status ReadHeads(const JsonNode& root, const CommonKeys& keys, ModelConfig& config) {
  const auto or_absent = [&](const char* key, int64_t absent, int64_t derived) {
    return absent > 0 && !root.Has(key) ? absent : derived;
  };
  const int64_t as_many = or_absent("num_key_value_heads", keys.absent_kv_heads, config.num_heads);
  QUIRE_ASSIGN_OR_RETURN(const int64_t kv_heads,
                         root.IntegerOr("num_key_value_heads", 1, kMaxHeads, as_many));
  config.num_kv_heads = static_cast<int>(kv_heads);
  if (config.num_heads % config.num_kv_heads != 0) {
    return root.Error(absl::StrCat(keys.num_heads.key, " (", config.num_heads,
                                   ") is not a multiple of num_key_value_heads (", kv_heads, ")"));
  }
  const int64_t share =
      or_absent("head_dim", keys.absent_head_dim, config.hidden_size / config.num_heads);
  QUIRE_ASSIGN_OR_RETURN(const int64_t head_dim,
                         root.IntegerOr("head_dim", 1, kMaxConfigInt, share));
  if (head_dim % 2 != 0 || head_dim < 2 || head_dim > kMaxHeadDim) {
    return root.Error(absl::StrCat("head_dim is ", head_dim, ", expected an even number from 2 to ",
                                   kMaxHeadDim));
  }
  config.head_dim = static_cast<int>(head_dim);
  config.value_dim = config.head_dim;
  config.attention_scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  return absl::OkStatus();
}

absl::Status ReadActivation(const JsonNode& root, const CommonKeys& keys, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(const std::string name,
                         root.StringOr(keys.activation, keys.absent_activation));
  std::string known;
  for (const NamedActivation& activation : kActivations) {
    if (name == activation.name) {
      config.activation.kind = activation.kind;
      return absl::OkStatus();
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", activation.name);
  }
  return root.Error(absl::StrCat(keys.activation, " is ", Quoted(name),
                                 ", which is not one of those that run: ", known));
}

}  // namespace

absl::Status ReadSize(const JsonNode& root, SizeKey key, int64_t min, int64_t max, int64_t& field) {
  if (key.absent > 0 && !root.Find(key.key)) {
    field = key.absent;
    return absl::OkStatus();
  }
  QUIRE_ASSIGN_OR_RETURN(const JsonNode member, root.Member(key.key));
  QUIRE_ASSIGN_OR_RETURN(field, member.Integer(min, max));
  return absl::OkStatus();
}

absl::Status ReadSize(const JsonNode& root, SizeKey key, int64_t min, int64_t max, int& field) {
  int64_t value = 0;
  QUIRE_RETURN_IF_ERROR(ReadSize(root, key, min, max, value));
  field = static_cast<int>(value);
  return absl::OkStatus();
}

absl::Status ReadScale(const JsonNode& root, const char* key, double absent, float& field) {
  QUIRE_ASSIGN_OR_RETURN(const double value, root.NumberOr(key, absent));
  if (value <= 0 || value > 1e6) {
    return root.Error(absl::StrCat(key, " is ", value, ", expected above 0, to 1e6"));
  }
  field = static_cast<float>(value);
  return absl::OkStatus();
}

absl::Status ReadFlag(const JsonNode& root, const char* key, bool absent, bool& field) {
  QUIRE_ASSIGN_OR_RETURN(field, root.BoolOr(key, absent));
  return absl::OkStatus();
}

absl::Status ReadCommon(const JsonNode& root, const CommonKeys& keys, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadSize(root, keys.hidden_size, 1, kMaxHiddenSize, config.hidden_size));
  QUIRE_RETURN_IF_ERROR(ReadSize(root, keys.num_layers, 1, kMaxLayers, config.num_layers));
  QUIRE_RETURN_IF_ERROR(ReadSize(root, keys.num_heads, 1, kMaxHeads, config.num_heads));
  QUIRE_RETURN_IF_ERROR(
      ReadSize(root, keys.intermediate_size, 1, kMaxIntermediateSize, config.intermediate_size));
  QUIRE_RETURN_IF_ERROR(ReadSize(root, keys.vocab_size, 1, kMaxVocabSize, config.vocab_size));
  QUIRE_RETURN_IF_ERROR(
      ReadSize(root, keys.max_positions, 1, kMaxPositions, config.max_position_embeddings));
  config.layers.assign(config.num_layers, {});
  QUIRE_RETURN_IF_ERROR(ReadHeads(root, keys, config));
  QUIRE_RETURN_IF_ERROR(ReadActivation(root, keys, config));
  QUIRE_ASSIGN_OR_RETURN(const double eps, root.NumberOr(keys.eps, keys.absent_eps));
  if (eps <= 0 || eps > 1) {
    return root.Error(absl::StrCat(keys.eps, " is ", eps, ", expected above 0, to 1"));
  }
  config.norm_eps = static_cast<float>(eps);
  return ReadFlag(root, "tie_word_embeddings", keys.absent_tied, config.tie_word_embeddings);
}

absl::Status ReadRotation(const JsonNode& root, RopeDefaults defaults, ModelConfig& config) {
  if (defaults.head_dim == 0) defaults.head_dim = config.head_dim;
  defaults.max_positions = config.max_position_embeddings;
  QUIRE_ASSIGN_OR_RETURN(RopeConfig rope, ReadRope(root, defaults));
  config.ropes = {std::move(rope)};
  return absl::OkStatus();
}

absl::Status ReadLayerTypes(const JsonNode& root, int64_t window, ModelConfig& config,
                            bool& found) {
  const std::optional<JsonNode> types = root.Find("layer_types");
  found = types.has_value();
  if (!types) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> layers, types->Elements());
  if (static_cast<int>(layers.size()) != config.num_layers) {
    return types->Error(absl::StrCat("has ", layers.size(), " entries, expected one for each of ",
                                     config.num_layers, " layers"));
  }
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    QUIRE_ASSIGN_OR_RETURN(const std::string type, layers[layer].String());
    if (type == "sliding_attention") {
      if (window == 0) return layers[layer].Error("is sliding_attention, but no window is given");
      config.layers[layer].window = static_cast<int>(window);
    } else if (type != "full_attention") {
      return layers[layer].Unexpected("full_attention or sliding_attention");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadQwenWindows(const JsonNode& root, ModelConfig& config) {
  bool slides = false;
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "use_sliding_window", false, slides));
  int64_t window = 0;
  if (slides) {
    QUIRE_ASSIGN_OR_RETURN(window, ReadWindow(root, 4096));
  }
  QUIRE_ASSIGN_OR_RETURN(const int64_t first,
                         root.IntegerOr("max_window_layers", 0, kMaxConfigInt, 28));
  return ReadLayerWindows(
      root, window, [&](int layer) { return layer >= first; }, config);
}

absl::Status ReadMultipliers(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadScale(root, "embedding_multiplier", 1.0, config.embedding_scale));
  QUIRE_RETURN_IF_ERROR(ReadScale(root, "residual_multiplier", 1.0, config.residual_scale));
  QUIRE_RETURN_IF_ERROR(ReadScale(root, "attention_multiplier", 1.0, config.attention_scale));
  float divisor = 1.0F;
  QUIRE_RETURN_IF_ERROR(ReadScale(root, "logits_scaling", 1.0, divisor));
  config.logits_scale = 1.0F / divisor;
  return absl::OkStatus();
}

absl::Status ReadMla(const JsonNode& root, const MlaForm& form, ModelConfig& config) {
  MlaConfig& mla = config.mla.emplace();
  MlaShape& shape = mla.shape;
  shape.rope_per_head = form.rope_per_head;
  mla.latent_norm = !form.rope_per_head;
  if (root.Find("q_lora_rank")) {
    QUIRE_RETURN_IF_ERROR(ReadSize(root, {"q_lora_rank"}, 1, 1 << 16, mla.query_rank));
  }
  for (const auto& [key, most, field] :
       {std::tuple{"kv_lora_rank", kMaxLatentRank, &shape.latent_dim},
        std::tuple{"qk_nope_head_dim", kMaxHeadDim, &shape.nope_dim},
        std::tuple{"qk_rope_head_dim", kMaxHeadDim, &shape.rope_dim},
        std::tuple{"v_head_dim", kMaxHeadDim, &shape.value_dim}}) {
    QUIRE_RETURN_IF_ERROR(ReadSize(root, {key}, 2, most, *field));
    if (*field % 2 != 0) return root.Error(absl::StrCat(key, " is ", *field, ", expected even"));
  }
  shape.num_heads = config.num_heads;
  config.num_kv_heads = config.num_heads;
  config.head_dim = shape.head_dim();
  config.value_dim = shape.value_dim;
  QUIRE_RETURN_IF_ERROR(
      ReadRotation(root, {.head_dim = shape.rope_dim, .interleaved = form.interleaved}, config));
  if (config.ropes[0].rotary_dim != shape.rope_dim) {
    return root.Error(absl::StrCat("rotates ", config.ropes[0].rotary_dim,
                                   " dims, expected qk_rope_head_dim (", shape.rope_dim, ")"));
  }
  mla.norm_eps = kLatentNormEps;
  const double scale = 1.0 / std::sqrt(static_cast<double>(shape.head_dim()));
  mla.scale = static_cast<float>(scale * SoftmaxScaleFactor(config.ropes[0]));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> ReadWindow(const JsonNode& root, int64_t absent) {
  return root.IntegerOr("sliding_window", 1, kMaxConfigInt,
                        root.Has("sliding_window") ? 0 : absent);
}

}  // namespace quire
