// Decoders of one MLP a layer.
#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "model/config_reader.h"
#include "model/families.h"

namespace quire {
namespace {

absl::Status ReadLlamaWithoutRotation(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  return ReadFlag(root, "mlp_bias", false, config.mlp_bias);
}

absl::Status ReadLlama(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadLlamaWithoutRotation(root, config));
  return ReadRotation(root, {}, config);
}

absl::Status ReadMistral(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {.absent_kv_heads = 8}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  QUIRE_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(root, 4096));
  return ReadLayerWindows(
      root, window, [](int) { return true; }, config);
}

absl::Status ReadQwen2(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {.absent_kv_heads = 32}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  config.qkv_bias = true;
  return ReadQwenWindows(root, config);
}

absl::Status ReadQwen3(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {.absent_kv_heads = 32, .absent_head_dim = 128}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  config.qk_norm = QkNorm::kPerHead;
  return ReadQwenWindows(root, config);
}

absl::Status ReadPhi3(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {.absent_eps = 1e-5}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  config.names.qkv = "self_attn.qkv_proj";
  config.names.gate_up = "mlp.gate_up_proj";
  QUIRE_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(root, 0));
  return ReadLayerWindows(
      root, window, [](int) { return true; }, config);
}

absl::Status ReadOlmo2(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root, {.absent_eps = 1e-5}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  config.qk_norm = QkNorm::kFullWidth;
  config.placement = NormPlacement::kAfter;
  config.names.attention_out_norm = "post_attention_layernorm";
  config.names.mlp_out_norm = "post_feedforward_layernorm";
  return absl::OkStatus();
}

absl::Status ReadGranite(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadLlama(root, config));
  return ReadMultipliers(root, config);
}

absl::Status ReadGlm4(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(
      root, {.absent_kv_heads = 2, .absent_head_dim = 128, .absent_eps = 1.5625e-7}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {.rotated_part = 0.5, .interleaved = true}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", true, config.qkv_bias));
  config.placement = NormPlacement::kAround;
  config.names.attention_out_norm = "post_self_attn_layernorm";
  config.names.mlp_out_norm = "post_mlp_layernorm";
  config.names.gate_up = "mlp.gate_up_proj";
  return absl::OkStatus();
}

absl::Status ReadStableLm(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(
      root, {.absent_kv_heads = 32, .eps = "layer_norm_eps", .absent_eps = 1e-5}, config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {.rotated_part = 0.25}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "use_qkv_bias", false, config.qkv_bias));
  config.norm = NormKind::kLayer;
  config.norm_bias = true;
  bool qk_norm = false;
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "qk_layernorm", false, qk_norm));
  if (qk_norm) {
    config.qk_norm = QkNorm::kPerHeadLayerNorm;
    config.qk_norm_per_head = true;
    config.names.q_norm = "self_attn.q_layernorm";
    config.names.k_norm = "self_attn.k_layernorm";
  }
  bool parallel = false;
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "use_parallel_residual", false, parallel));
  if (parallel) config.placement = NormPlacement::kParallel;
  return absl::OkStatus();
}

absl::Status ReadStarcoder2(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root,
                                   {.absent_kv_heads = 2,
                                    .absent_activation = "gelu_pytorch_tanh",
                                    .eps = "norm_epsilon",
                                    .absent_eps = 1e-5,
                                    .absent_tied = true},
                                   config));
  QUIRE_RETURN_IF_ERROR(ReadRotation(root, {}, config));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "use_bias", true, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  config.mlp_bias = config.qkv_bias;
  config.norm = NormKind::kLayer;
  config.norm_bias = true;
  config.gated_mlp = false;
  config.names.up = "mlp.c_fc";
  config.names.down = "mlp.c_proj";
  QUIRE_ASSIGN_OR_RETURN(const int64_t window, ReadWindow(root, 0));
  return ReadLayerWindows(
      root, window, [](int) { return true; }, config);
}

absl::Status ReadGpt2(const JsonNode& root, ModelConfig& config) {
  QUIRE_ASSIGN_OR_RETURN(const int64_t hidden, root.IntegerOr("n_embd", 1, 1 << 20, 768));
  QUIRE_RETURN_IF_ERROR(ReadCommon(root,
                                   {.hidden_size = {"n_embd", 768},
                                    .num_layers = {"n_layer", 12},
                                    .num_heads = {"n_head", 12},
                                    .intermediate_size = {"n_inner", 4 * hidden},
                                    .vocab_size = {"vocab_size", 50257},
                                    .max_positions = {"n_positions", 1024},
                                    .activation = "activation_function",
                                    .absent_activation = "gelu_new",
                                    .eps = "layer_norm_epsilon",
                                    .absent_eps = 1e-5,
                                    .absent_tied = true},
                                   config));
  config.ropes = {RopeConfig{}};  // rotates nothing
  config.learned_positions = true;
  config.qkv_bias = true;
  config.attention_output_bias = true;
  config.mlp_bias = true;
  config.norm = NormKind::kLayer;
  config.norm_bias = true;
  config.gated_mlp = false;
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "add_cross_attention"}) {
    bool other = false;
    QUIRE_RETURN_IF_ERROR(ReadFlag(root, key, false, other));
    if (other) return root.Error(absl::StrCat(key, " is true, expected false"));
  }
  WeightNames& names = config.names;
  names.prefixes = {"transformer.", ""};
  names.embedding = "wte";
  names.positions = "wpe";
  names.final_norm = "ln_f";
  names.layers = std::string(1, 'h');
  names.attention_norm = "ln_1";
  names.mlp_norm = "ln_2";
  names.qkv = "attn.c_attn";
  names.output = "attn.c_proj";
  names.up = "mlp.c_fc";
  names.down = "mlp.c_proj";
  names.transposed = true;
  names.ignored_endings = {".attn.bias", ".attn.masked_bias"};
  return absl::OkStatus();
}

// Llama's keys, and by keys of their own what no published family has: docs/models.md.
absl::Status ReadQuire(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadLlamaWithoutRotation(root, config));
  MlaForm form;
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "rope_interleave", false, form.interleaved));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "rope_per_head", false, form.rope_per_head));
  QUIRE_ASSIGN_OR_RETURN(const std::string qk_norm, root.StringOr("qk_norm", "none"));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "qk_norm_weights", true, config.qk_norm_weights));
  const std::pair<const char*, QkNorm> norms[] = {
      {"none", QkNorm::kNone}, {"per_head", QkNorm::kPerHead}, {"full_width", QkNorm::kFullWidth}};
  const auto* norm = std::find_if(std::begin(norms), std::end(norms),
                                  [&](const auto& known) { return known.first == qk_norm; });
  if (norm == std::end(norms)) {
    return root.Find("qk_norm")->Unexpected("none, per_head or full_width");
  }
  config.qk_norm = norm->second;
  if (!root.Find("kv_lora_rank")) {
    return ReadRotation(root, {.interleaved = form.interleaved}, config);
  }
  if (config.qk_norm != QkNorm::kNone) {
    return root.Find("qk_norm")->Unexpected(
        "none beside kv_lora_rank: latent attention takes no QK norm");
  }
  if (form.rope_per_head) config.names.kv_a = "self_attn.kv_a_proj";
  return ReadMla(root, form, config);
}

constexpr Family kFamilies[] = {
    {"LlamaForCausalLM", ReadLlama},       {"QuireForCausalLM", ReadQuire},
    {"MistralForCausalLM", ReadMistral},   {"Mistral3ForConditionalGeneration", ReadMistral},
    {"Qwen2ForCausalLM", ReadQwen2},       {"Qwen3ForCausalLM", ReadQwen3},
    {"Phi3ForCausalLM", ReadPhi3},         {"Olmo2ForCausalLM", ReadOlmo2},
    {"GraniteForCausalLM", ReadGranite},   {"Glm4ForCausalLM", ReadGlm4},
    {"StableLmForCausalLM", ReadStableLm}, {"Starcoder2ForCausalLM", ReadStarcoder2},
    {"GPT2LMHeadModel", ReadGpt2},
};

}  // namespace

absl::Span<const Family> DenseFamilies() { return kFamilies; }

}  // namespace quire
