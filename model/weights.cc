#include "model/weights.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// A matrix of the checkpoint that becomes rows of a merged one.
struct Part {
  std::string prefix;
  int64_t out_features;
  bool has_bias;
};

class Loader {
 public:
  Loader(const ModelConfig& config, DType act_dtype, WeightSource& source, Ops& ops,
         const LoadProgress& progress)
      : config_(config),
        act_dtype_(act_dtype),
        source_(source),
        ops_(ops),
        progress_(progress),
        total_(CountParameters(config)) {}

  absl::StatusOr<ModelWeights> Load() {
    ModelWeights weights;
    QUIRE_RETURN_IF_ERROR(LoadEnds(weights));
    for (int layer = 0; layer < config_.num_layers; ++layer) {
      QUIRE_ASSIGN_OR_RETURN(LayerWeights loaded,
                             LoadLayer(absl::StrCat("model.layers.", layer, ".")));
      weights.layers.push_back(std::move(loaded));
    }
    return weights;
  }

 private:
  absl::Status LoadEnds(ModelWeights& weights) {
    const int64_t hidden = config_.hidden_size;
    const int64_t vocab = config_.vocab_size;
    QUIRE_ASSIGN_OR_RETURN(weights.final_norm, RmsNorm("model.norm", hidden));
    const std::string table = "model.embed_tokens";
    const std::string head = config_.tie_word_embeddings ? table : "lm_head";
    QUIRE_ASSIGN_OR_RETURN(weights.lm_head, Merge(head, hidden, {{head, vocab, false}}));
    if (config_.tie_word_embeddings) {
      weights.embedding = ops_.TieEmbedding(*weights.lm_head);
      return absl::OkStatus();
    }
    QUIRE_ASSIGN_OR_RETURN(const WeightRows rows, source_.Rows(table, vocab, hidden, false));
    QUIRE_ASSIGN_OR_RETURN(weights.embedding, ops_.MakeEmbedding(rows, hidden, act_dtype_));
    Finish({{table, vocab, false}}, hidden);
    return absl::OkStatus();
  }

  absl::StatusOr<LayerWeights> LoadLayer(const std::string& at) {
    const int64_t hidden = config_.hidden_size;
    const int64_t ffn = config_.intermediate_size;
    const int64_t q_width = int64_t{config_.num_heads} * config_.head_dim;
    const int64_t kv_width = int64_t{config_.num_kv_heads} * config_.head_dim;
    const bool bias = config_.qkv_bias;
    LayerWeights layer;
    QUIRE_ASSIGN_OR_RETURN(layer.input_norm, RmsNorm(at + "input_layernorm", hidden));
    QUIRE_ASSIGN_OR_RETURN(layer.qkv, Merge(at + "self_attn.qkv", hidden,
                                            {{at + "self_attn.q_proj", q_width, bias},
                                             {at + "self_attn.k_proj", kv_width, bias},
                                             {at + "self_attn.v_proj", kv_width, bias}}));
    if (config_.qk_norm == QkNorm::kPerHead) {
      QUIRE_ASSIGN_OR_RETURN(layer.q_norm, Vector(at + "self_attn.q_norm", config_.head_dim));
      QUIRE_ASSIGN_OR_RETURN(layer.k_norm, Vector(at + "self_attn.k_norm", config_.head_dim));
    }
    const std::string output = at + "self_attn.o_proj";
    QUIRE_ASSIGN_OR_RETURN(
        layer.output, Merge(output, q_width, {{output, hidden, config_.attention_output_bias}}));
    QUIRE_ASSIGN_OR_RETURN(layer.post_attention_norm,
                           RmsNorm(at + "post_attention_layernorm", hidden));
    QUIRE_ASSIGN_OR_RETURN(layer.gate_up, Merge(at + "mlp.gate_up", hidden,
                                                {{at + "mlp.gate_proj", ffn, config_.mlp_bias},
                                                 {at + "mlp.up_proj", ffn, config_.mlp_bias}}));
    const std::string down = at + "mlp.down_proj";
    QUIRE_ASSIGN_OR_RETURN(layer.down, Merge(down, ffn, {{down, hidden, config_.mlp_bias}}));
    return layer;
  }

  absl::StatusOr<DeviceVector> Vector(const std::string& prefix, int64_t size) {
    QUIRE_ASSIGN_OR_RETURN(const std::vector<float> values, source_.Vector(prefix, size));
    source_.Done(prefix);
    return ops_.MakeVector(values);
  }

  absl::StatusOr<Norm> RmsNorm(const std::string& prefix, int64_t size) {
    Norm norm{.kind = NormKind::kRms, .eps = config_.norm_eps};
    QUIRE_ASSIGN_OR_RETURN(norm.weight, Vector(prefix, size));
    return norm;
  }

  absl::StatusOr<std::unique_ptr<Linear>> Merge(const std::string& name, int64_t in_features,
                                                const std::vector<Part>& parts) {
    LinearSpec spec{.name = name, .in_features = in_features, .parts = {}, .act_dtype = act_dtype_};
    for (const Part& part : parts) {
      QUIRE_ASSIGN_OR_RETURN(const WeightRows rows, source_.Rows(part.prefix, part.out_features,
                                                                 in_features, part.has_bias));
      spec.parts.push_back(rows);
    }
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Linear> linear, ops_.MakeLinear(spec));
    Finish(parts, in_features);
    return linear;
  }

  // The parts have been packed: their pages may go.
  void Finish(const std::vector<Part>& parts, int64_t in_features) {
    for (const Part& part : parts) {
      source_.Done(part.prefix);
      done_ += part.out_features * in_features;
    }
    if (progress_) progress_(done_, total_);
  }

  const ModelConfig& config_;
  DType act_dtype_;
  WeightSource& source_;
  Ops& ops_;
  const LoadProgress& progress_;
  int64_t total_;
  int64_t done_ = 0;
};

}  // namespace

int64_t CountParameters(const ModelConfig& config) {
  const int64_t hidden = config.hidden_size;
  const int64_t heads = config.num_heads + 2 * config.num_kv_heads;
  const int64_t attention = hidden * config.head_dim * (heads + config.num_heads);
  const int64_t mlp = 3 * hidden * config.intermediate_size;
  const int64_t tables = config.tie_word_embeddings ? 1 : 2;
  return config.num_layers * (attention + mlp) + tables * config.vocab_size * hidden;
}

absl::StatusOr<ModelWeights> LoadWeights(const ModelConfig& config, DType act_dtype,
                                         WeightSource& source, Ops& ops,
                                         const LoadProgress& progress) {
  return Loader(config, act_dtype, source, ops, progress).Load();
}

}  // namespace quire
