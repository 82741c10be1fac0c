// Gemma: (1 + w) norms, scaled embeddings, GeGLU, soft-caps, local and global layers.
#include <cmath>

#include "core/status_macros.h"
#include "model/config_reader.h"
#include "model/families.h"

namespace quire {
namespace {

void SetNorms(ModelConfig& config) {
  config.norm_plus_one = true;
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden_size));
  config.embedding_scale_in_act_type = true;
}

absl::Status ReadGemma(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root,
                                   {.absent_kv_heads = 16,
                                    .absent_head_dim = 256,
                                    .absent_activation = "gelu_pytorch_tanh",
                                    .absent_tied = true},
                                   config));
  // Old files say "gelu", or hidden_activation, and mean the tanh form.
  config.activation.kind = Activation::kGeluTanh;
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  SetNorms(config);
  return absl::OkStatus();
}

absl::Status ReadSoftcap(const JsonNode& root, const char* key, double absent, float& field) {
  QUIRE_ASSIGN_OR_RETURN(const double cap, root.NumberOr(key, root.Has(key) ? 0.0 : absent));
  if (cap < 0 || cap > 1e6) {
    return root.Error(absl::StrCat(key, " is ", cap, ", expected null, or above 0 to 1e6"));
  }
  field = static_cast<float>(cap);
  return absl::OkStatus();
}

// What Gemma 2 and 3 share.
absl::Status ReadScores(const JsonNode& root, double absent_attention_cap, double absent_logits_cap,
                        ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  float scalar = 0.0F;
  QUIRE_RETURN_IF_ERROR(ReadScale(root, "query_pre_attn_scalar", 256.0, scalar));
  config.attention_scale = 1.0F / std::sqrt(scalar);
  QUIRE_RETURN_IF_ERROR(
      ReadSoftcap(root, "attn_logit_softcapping", absent_attention_cap, config.attention_softcap));
  QUIRE_RETURN_IF_ERROR(
      ReadSoftcap(root, "final_logit_softcapping", absent_logits_cap, config.logits_softcap));
  SetNorms(config);
  config.placement = NormPlacement::kAround;
  config.names.attention_out_norm = "post_attention_layernorm";
  config.names.mlp_norm = "pre_feedforward_layernorm";
  config.names.mlp_out_norm = "post_feedforward_layernorm";
  return absl::OkStatus();
}

absl::Status ReadGemma2(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root,
                                   {.absent_kv_heads = 4,
                                    .absent_head_dim = 256,
                                    .activation = "hidden_activation",
                                    .absent_activation = "gelu_pytorch_tanh",
                                    .absent_tied = true},
                                   config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  QUIRE_RETURN_IF_ERROR(ReadScores(root, 50.0, 30.0, config));
  QUIRE_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(root, 4096));
  return ReadLayerWindows(
      root, window, [](int layer) { return layer % 2 == 0; }, config);
}

// A config.json of Gemma 3 leaves out what transformers' Gemma3TextConfig has as default.
absl::Status ReadGemma3(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root,
                                   {.hidden_size = {"hidden_size", 2304},
                                    .num_layers = {"num_hidden_layers", 26},
                                    .num_heads = {"num_attention_heads", 8},
                                    .intermediate_size = {"intermediate_size", 9216},
                                    .vocab_size = {"vocab_size", 262208},
                                    .max_positions = {"max_position_embeddings", 131072},
                                    .absent_kv_heads = 4,
                                    .absent_head_dim = 256,
                                    .activation = "hidden_activation",
                                    .absent_activation = "gelu_pytorch_tanh",
                                    .absent_tied = true},
                                   config));
  RopeDefaults local{.head_dim = config.head_dim,
                     .max_positions = config.max_position_embeddings,
                     .theta = 10000.0,
                     .theta_key = "rope_local_base_freq",
                     .takes_common_scaling = false};
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {.theta = 1e6}, config));
  QUIRE_ASSIGN_OR_RETURN(RopeConfig local_rope, ReadRope(root, local, "sliding_attention"));
  config.ropes.push_back(std::move(local_rope));
  QUIRE_RETURN_IF_ERROR(ReadScores(root, 0.0, 0.0, config));
  config.qk_norm = QkNorm::kPerHead;
  QUIRE_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(root, 4096));
  QUIRE_ASSIGN_OR_RETURN(const int64_t pattern,
                         root.IntegerOr("sliding_window_pattern", 1, kMaxConfigInt, 6));
  QUIRE_RETURN_IF_ERROR(ReadLayerWindows(
      root, window, [&](int layer) { return (layer + 1) % pattern != 0; }, config));
  for (LayerConfig& layer : config.layers) layer.rope = layer.window > 0 ? 1 : 0;
  return absl::OkStatus();
}

constexpr Family kFamilies[] = {
    {"GemmaForCausalLM", ReadGemma},
    {"Gemma2ForCausalLM", ReadGemma2},
    {"Gemma3ForCausalLM", ReadGemma3},
    {"Gemma3ForConditionalGeneration", ReadGemma3},
};

}  // namespace

absl::Span<const Family> GemmaFamilies() { return kFamilies; }

}  // namespace quire
