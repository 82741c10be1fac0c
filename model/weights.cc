#include "model/weights.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/status_macros.h"
#include "model/mla_weights.h"
#include "model/moe_weights.h"
#include "model/weight_loader.h"

namespace quire {
namespace {

class ModelLoader {
 public:
  ModelLoader(const ModelConfig& config, DType act_dtype, WeightSource& source, WeightMaker& maker,
              const LoadProgress& progress)
      : config_(config),
        names_(config.names),
        source_(source),
        maker_(maker),
        loader_(config, act_dtype, source, maker, progress) {}

  absl::StatusOr<ModelWeights> Load() {
    FindPrefix();
    ModelWeights weights;
    QUIRE_RETURN_IF_ERROR(LoadEnds(weights));
    for (int layer = 0; layer < config_.num_layers; ++layer) {
      QUIRE_ASSIGN_OR_RETURN(LayerWeights loaded, LoadLayer(layer));
      weights.layers.push_back(std::move(loaded));
    }
    maker_.FinishWeights();
    for (const std::string& name : source_.Unused()) {
      if (!IsIgnored(name)) weights.unused_tensors.push_back(name);
    }
    return weights;
  }

 private:
  void FindPrefix() {
    prefix_ = names_.prefixes.front();
    for (const std::string& prefix : names_.prefixes) {
      if (!source_.Has(absl::StrCat(prefix, names_.embedding, ".weight"))) continue;
      prefix_ = prefix;
      return;
    }
  }

  bool IsIgnored(absl::string_view name) const {
    if (config_.tie_word_embeddings && absl::EndsWith(name, "lm_head.weight")) return true;
    const absl::string_view within = absl::StripPrefix(name, prefix_);
    return std::any_of(names_.ignored_beginnings.begin(), names_.ignored_beginnings.end(),
                       [&](const std::string& beginning) {
                         return absl::StartsWith(name, beginning) ||
                                absl::StartsWith(within, beginning);
                       }) ||
           std::any_of(names_.ignored_endings.begin(), names_.ignored_endings.end(),
                       [&](const std::string& ending) { return absl::EndsWith(name, ending); });
  }

  // Beside the "model." that holds the rest.
  std::string LmHeadName() const {
    const std::string beside = absl::StrCat(absl::StripSuffix(prefix_, "model."), names_.lm_head);
    return source_.Has(beside + ".weight") ? beside : names_.lm_head;
  }

  absl::Status LoadEnds(ModelWeights& weights) {
    const int64_t hidden = config_.hidden_size;
    const int64_t vocab = config_.vocab_size;
    const std::string table = prefix_ + names_.embedding;
    if (config_.final_norm) {
      QUIRE_ASSIGN_OR_RETURN(weights.final_norm,
                             loader_.LoadNorm(prefix_ + names_.final_norm, hidden));
    }
    if (config_.embedding_norm) {
      QUIRE_ASSIGN_OR_RETURN(weights.embedding_norm,
                             loader_.LoadNorm(prefix_ + names_.embedding_norm, hidden));
    }
    if (config_.learned_positions) {
      const int64_t rows = config_.max_position_embeddings + config_.position_offset;
      QUIRE_ASSIGN_OR_RETURN(weights.positions,
                             loader_.LoadTable(prefix_ + names_.positions, rows, hidden));
    }
    if (config_.token_types > 0) {
      QUIRE_ASSIGN_OR_RETURN(weights.token_types, loader_.LoadTable(prefix_ + names_.token_types,
                                                                    config_.token_types, hidden));
    }
    if (!config_.is_encoder) {
      const std::string head = config_.tie_word_embeddings ? table : LmHeadName();
      QUIRE_ASSIGN_OR_RETURN(weights.lm_head, loader_.Merge(head, hidden, {{head, vocab}}));
      if (config_.tie_word_embeddings) {
        weights.embedding = maker_.TieEmbedding(*weights.lm_head);
        return absl::OkStatus();
      }
    }
    QUIRE_ASSIGN_OR_RETURN(weights.embedding, loader_.LoadTable(table, vocab, hidden));
    return absl::OkStatus();
  }

  absl::StatusOr<LayerWeights> LoadLayer(int index) {
    const std::string at = absl::StrCat(prefix_, names_.layers, ".", index, ".");
    LayerWeights layer;
    QUIRE_RETURN_IF_ERROR(LoadNorms(at, index, layer));
    if (config_.mla) {
      QUIRE_ASSIGN_OR_RETURN(layer.mla, LoadMla(at, loader_));
    } else {
      QUIRE_ASSIGN_OR_RETURN(layer.gqa, LoadGqa(at));
    }
    if (config_.layers[index].moe) {
      QUIRE_ASSIGN_OR_RETURN(layer.moe, LoadMoe(at, loader_));
    } else {
      QUIRE_ASSIGN_OR_RETURN(layer.mlp, LoadMlp(at));
    }
    return layer;
  }

  Part LayerPart(const std::string& name, int64_t out_features, bool has_bias) const {
    return {name, out_features, has_bias, names_.transposed};
  }

  absl::Status LoadNorms(const std::string& at, int index, LayerWeights& layer) {
    const bool before = config_.placement != NormPlacement::kAfter;
    const bool parallel = config_.placement == NormPlacement::kParallel;
    const auto load = [&](bool wanted, const std::string& name, Norm& norm) -> absl::Status {
      if (!wanted || name.empty()) return absl::OkStatus();
      QUIRE_ASSIGN_OR_RETURN(norm, loader_.LoadNorm(at + name, config_.hidden_size));
      return absl::OkStatus();
    };
    const bool first = index == 0 && !config_.first_attention_norm;
    QUIRE_RETURN_IF_ERROR(load(before && !first, names_.attention_norm, layer.attention_norm));
    QUIRE_RETURN_IF_ERROR(load(true, names_.attention_out_norm, layer.attention_out_norm));
    QUIRE_RETURN_IF_ERROR(load(before && !parallel, names_.mlp_norm, layer.mlp_norm));
    return load(true, names_.mlp_out_norm, layer.mlp_out_norm);
  }

  absl::StatusOr<GqaWeights> LoadGqa(const std::string& at) {
    const int64_t q_width = int64_t{config_.num_heads} * config_.head_dim;
    const int64_t k_width = int64_t{config_.num_kv_heads} * config_.head_dim;
    const int64_t v_width = int64_t{config_.num_kv_heads} * config_.value_dim;
    const bool bias = config_.qkv_bias;
    std::vector<Part> parts = {LayerPart(at + names_.q, q_width, bias),
                               LayerPart(at + names_.k, k_width, bias),
                               LayerPart(at + names_.v, v_width, bias)};
    if (!names_.qkv.empty()) {
      parts = {LayerPart(at + names_.qkv, q_width + k_width + v_width, bias)};
    }
    GqaWeights gqa;
    QUIRE_ASSIGN_OR_RETURN(gqa.qkv, loader_.Merge(at + "qkv", config_.hidden_size, parts));
    QUIRE_ASSIGN_OR_RETURN(gqa.q_norm, LoadQkNorm(at + names_.q_norm, config_.num_heads));
    QUIRE_ASSIGN_OR_RETURN(gqa.k_norm, LoadQkNorm(at + names_.k_norm, config_.num_kv_heads));
    if (config_.sink_logits) {
      QUIRE_ASSIGN_OR_RETURN(gqa.sink_logits,
                             loader_.LoadVector(at + names_.sink_logits, config_.num_heads));
    }
    if (config_.sink_tokens > 0) {
      QUIRE_ASSIGN_OR_RETURN(
          gqa.sink_tokens,
          loader_.LoadTable(at + names_.sink_tokens, config_.sink_tokens, config_.hidden_size));
    }
    QUIRE_ASSIGN_OR_RETURN(
        gqa.output,
        loader_.Merge(
            at + names_.output, int64_t{config_.num_heads} * config_.value_dim,
            {LayerPart(at + names_.output, config_.hidden_size, config_.attention_output_bias)}));
    return gqa;
  }

  absl::StatusOr<DeviceVector> LoadQkNorm(const std::string& name, int num_heads) {
    if (config_.qk_norm == QkNorm::kNone || !config_.qk_norm_weights) return DeviceVector();
    if (config_.qk_norm_per_head) {
      std::vector<std::string> heads;
      for (int head = 0; head < num_heads; ++head) {
        heads.push_back(absl::StrCat(name, ".norms.", head));
      }
      return loader_.LoadNormWeights(heads, config_.head_dim);
    }
    const bool full_width = config_.qk_norm == QkNorm::kFullWidth;
    return loader_.LoadNormWeights({name}, int64_t{full_width ? num_heads : 1} * config_.head_dim);
  }

  absl::StatusOr<MlpWeights> LoadMlp(const std::string& at) {
    const int64_t ffn = config_.intermediate_size;
    const bool bias = config_.mlp_bias;
    std::vector<Part> up = {LayerPart(at + names_.gate, ffn, bias),
                            LayerPart(at + names_.up, ffn, bias)};
    if (!names_.gate_up.empty()) up = {LayerPart(at + names_.gate_up, 2 * ffn, bias)};
    if (!config_.gated_mlp) up = {LayerPart(at + names_.up, ffn, bias)};
    return loader_.LoadMlp(at + "mlp", up, LayerPart(at + names_.down, config_.hidden_size, bias));
  }

  const ModelConfig& config_;
  const WeightNames& names_;
  WeightSource& source_;
  WeightMaker& maker_;
  WeightLoader loader_;
  std::string prefix_;
};

}  // namespace

int64_t CountParameters(const ModelConfig& config) {
  const int64_t hidden = config.hidden_size;
  const int64_t mlp_matrices = config.gated_mlp ? 3 : 2;
  const GqaShape shape = config.attention_shape(0);
  const int64_t attention =
      config.mla ? CountMlaParameters(config) : hidden * (shape.qkv_width() + shape.out_width());
  int64_t count = 0;
  for (const LayerConfig& layer : config.layers) {
    count += attention + (layer.moe ? CountMoeParameters(config)
                                    : mlp_matrices * hidden * config.intermediate_size);
  }
  const bool one_table = config.tie_word_embeddings || config.is_encoder;
  count += (one_table ? 1 : 2) * config.vocab_size * hidden;
  if (config.learned_positions) {
    count += (config.max_position_embeddings + config.position_offset) * hidden;
  }
  return count + config.token_types * hidden;
}

absl::StatusOr<ModelWeights> LoadWeights(const ModelConfig& config, DType act_dtype,
                                         WeightSource& source, WeightMaker& maker,
                                         const LoadProgress& progress) {
  return ModelLoader(config, act_dtype, source, maker, progress).Load();
}

}  // namespace quire
