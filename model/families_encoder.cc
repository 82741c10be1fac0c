// Encoders, whose hidden states make embeddings.
#include <cmath>
#include <string>

#include "core/status_macros.h"
#include "model/config_reader.h"
#include "model/families.h"

namespace quire {
namespace {

absl::Status ReadBertKeys(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(
      root, {.absent_activation = "gelu", .eps = "layer_norm_eps", .absent_eps = 1e-12}, config));
  QUIRE_ASSIGN_OR_RETURN(const std::string positions,
                         root.StringOr("position_embedding_type", "absolute"));
  if (positions != "absolute") {
    return root.Error(
        absl::StrCat("position_embedding_type is ", Quoted(positions), ", expected \"absolute\""));
  }
  config.is_encoder = true;
  config.ropes = {RopeConfig{}};  // rotates nothing
  config.learned_positions = true;
  QUIRE_ASSIGN_OR_RETURN(const int64_t types, root.IntegerOr("type_vocab_size", 0, 1024, 2));
  config.token_types = static_cast<int>(types);
  config.embedding_norm = true;
  config.norm = NormKind::kLayer;
  config.norm_bias = true;
  config.placement = NormPlacement::kBehind;
  config.final_norm = false;
  config.qkv_bias = true;
  config.attention_output_bias = true;
  config.mlp_bias = true;
  config.gated_mlp = false;
  WeightNames& names = config.names;
  names.embedding = "embeddings.word_embeddings";
  names.positions = "embeddings.position_embeddings";
  names.token_types = "embeddings.token_type_embeddings";
  names.embedding_norm = "embeddings.LayerNorm";
  names.layers = "encoder.layer";
  names.q = "attention.self.query";
  names.k = "attention.self.key";
  names.v = "attention.self.value";
  names.output = "attention.output.dense";
  names.attention_norm = "attention.output.LayerNorm";
  names.up = "intermediate.dense";
  names.down = "output.dense";
  names.mlp_norm = "output.LayerNorm";
  names.ignored_beginnings = {"pooler.", "cls.", "lm_head.", "classifier."};
  names.ignored_endings = {"embeddings.position_ids"};
  return absl::OkStatus();
}

absl::Status ReadBert(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadBertKeys(root, config));
  config.names.prefixes = {"bert.", ""};
  return absl::OkStatus();
}

// The first rows of RoBERTa's position table, up to the padding token's, are of no token.
absl::Status ReadRoberta(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadBertKeys(root, config));
  config.names.prefixes = {"roberta.", ""};
  QUIRE_ASSIGN_OR_RETURN(const int64_t pad,
                         root.IntegerOr("pad_token_id", 0, config.vocab_size - 1, 1));
  if (pad + 1 >= config.max_position_embeddings) {
    return root.Error(absl::StrCat("max_position_embeddings is ", config.max_position_embeddings,
                                   ", expected more than pad_token_id + 1 (", pad + 1, ")"));
  }
  config.position_offset = static_cast<int>(pad + 1);
  config.max_position_embeddings -= pad + 1;
  return absl::OkStatus();
}

absl::Status ReadModernBert(const JsonNode& root, ModelConfig& config) {
  QUIRE_RETURN_IF_ERROR(ReadCommon(root,
                                   {.vocab_size = {"vocab_size", 50368},
                                    .max_positions = {"max_position_embeddings", 8192},
                                    .activation = "hidden_activation",
                                    .absent_activation = "gelu",
                                    .eps = "norm_eps",
                                    .absent_eps = 1e-5,
                                    .absent_tied = true},
                                   config));
  QUIRE_RETURN_IF_ERROR(
      ReadRotation(root, {.theta = 160000.0, .theta_key = "global_rope_theta"}, config));
  RopeDefaults local{.head_dim = config.head_dim,
                     .max_positions = config.max_position_embeddings,
                     .theta = 10000.0,
                     .theta_key = "local_rope_theta"};
  QUIRE_ASSIGN_OR_RETURN(RopeConfig local_rope, ReadRope(root, local, "sliding_attention"));
  config.ropes.push_back(std::move(local_rope));
  config.is_encoder = true;
  config.embedding_norm = true;
  config.norm = NormKind::kLayer;
  config.first_attention_norm = false;
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "norm_bias", false, config.norm_bias));
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "attention_bias", false, config.qkv_bias));
  config.attention_output_bias = config.qkv_bias;
  QUIRE_RETURN_IF_ERROR(ReadFlag(root, "mlp_bias", false, config.mlp_bias));
  QUIRE_ASSIGN_OR_RETURN(const int64_t window,
                         root.IntegerOr("local_attention", 1, kMaxConfigInt, 128));
  QUIRE_ASSIGN_OR_RETURN(const int64_t every,
                         root.IntegerOr("global_attn_every_n_layers", 1, kMaxConfigInt, 3));
  QUIRE_RETURN_IF_ERROR(ReadLayerWindows(
      root, window, [&](int layer) { return layer % every != 0; }, config));
  for (LayerConfig& layer : config.layers) layer.rope = layer.window > 0 ? 1 : 0;
  WeightNames& names = config.names;
  names.prefixes = {"model.", ""};
  names.embedding = "embeddings.tok_embeddings";
  names.embedding_norm = "embeddings.norm";
  names.final_norm = "final_norm";
  names.attention_norm = "attn_norm";
  names.mlp_norm = "mlp_norm";
  names.qkv = "attn.Wqkv";
  names.output = "attn.Wo";
  names.gate_up = "mlp.Wi";
  names.down = "mlp.Wo";
  names.ignored_beginnings = {"head.", "decoder.", "classifier."};
  return absl::OkStatus();
}

constexpr Family kFamilies[] = {
    {"BertModel", ReadBert},
    {"BertForMaskedLM", ReadBert},
    {"RobertaModel", ReadRoberta},
    {"XLMRobertaModel", ReadRoberta},
    {"ModernBertModel", ReadModernBert},
    {"ModernBertForMaskedLM", ReadModernBert},
};

}  // namespace

absl::Span<const Family> EncoderFamilies() { return kFamilies; }

}  // namespace quire
