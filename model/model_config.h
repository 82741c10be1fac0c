// A model as data: what config.json says, validated. A new architecture is a new mapping in
// model/families*.cc; the decoder runs every description.
//
// Letters: L layers, E hidden size, H query heads, Hkv key/value heads, D head dim, Dv value dim, F
// feed-forward size, V vocabulary, X experts; MLA's are in attention/mla.h.
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
#include "core/pooling.h"
#include "model/mla_config.h"
#include "model/rope.h"
#include "model/rope_scaling.h"
#include "model/weight_names.h"
#include "ops/op_kinds.h"

namespace quire {

// Where the norms of a block f (attention, MLP) stand on its way into the residual stream x.
enum class NormPlacement : uint8_t {
  kBefore,    // x + f(norm(x))
  kAfter,     // x + norm(f(x)): OLMo-2
  kAround,    // x + norm(f(norm(x))): Gemma-2, GLM-4
  kBehind,    // norm(x + f(x)): BERT
  kParallel,  // x + attention(norm(x)) + mlp(norm(x)), one norm for both
};

struct MoeConfig {
  RouterRules routing;
  bool correction_bias = false;  // added to the scores for the choice alone
  bool router_bias = false;
  bool expert_bias = false;
  int64_t intermediate_size = 0;         // F of an expert
  int64_t shared_intermediate_size = 0;  // F of the expert that sees every token; 0: none
  bool shared_gate = false;              // which is scaled by a sigmoid gate
};

struct LayerConfig {
  int window = 0;        // 0: full attention
  int sinks = 0;         // positions [0, n) are seen besides the window
  bool streams = false;  // window and sinks are asked for, in place of full attention
  int rope = 0;          // of ModelConfig::ropes
  bool moe = false;
};

struct ModelConfig {
  std::string architecture;  // "Qwen3ForCausalLM", ...
  std::string model_type;    // "qwen3", ...

  int64_t hidden_size = 0;              // E
  int num_layers = 0;                   // L
  int num_heads = 0;                    // H
  int num_kv_heads = 0;                 // Hkv
  int head_dim = 0;                     // D
  int value_dim = 0;                    // Dv
  int64_t intermediate_size = 0;        // F of the layers without experts
  int64_t vocab_size = 0;               // V
  int64_t max_position_embeddings = 0;  // context
  std::vector<LayerConfig> layers;      // [L]
  bool is_encoder = false;              // bidirectional, for embeddings: no cache, no lm_head

  NormKind norm = NormKind::kRms;
  bool norm_bias = false;
  bool norm_plus_one = false;  // norm(x) (1 + w)
  float norm_eps = 1e-6F;
  NormPlacement placement = NormPlacement::kBefore;
  bool first_attention_norm = true;  // ModernBERT: its first layer lacks it
  bool final_norm = true;

  float embedding_scale = 1.0F;
  bool embedding_scale_in_act_type = false;  // rounded to it first (Gemma)
  bool learned_positions = false;            // GPT-2, BERT: a table of max_position_embeddings rows
  int position_offset = 0;                   // the row of position 0 in it (RoBERTa)
  int token_types = 0;                       // BERT: rows of a table, of which the first is added
  bool embedding_norm = false;               // BERT, ModernBERT
  float residual_scale = 1.0F;               // of what a block adds
  float logits_scale = 1.0F;
  float logits_softcap = 0.0F;  // 0: none
  bool tie_word_embeddings = false;

  bool qkv_bias = false;
  bool attention_output_bias = false;
  QkNorm qk_norm = QkNorm::kNone;
  bool qk_norm_per_head = false;   // each head has norm weights of its own
  bool qk_norm_weights = true;     // false: what is normalised is not scaled
  float attention_scale = 0.0F;    // of q k^T
  float attention_softcap = 0.0F;  // 0: none
  bool sink_logits = false;        // one for each query head
  int sink_tokens = 0;             // learned ones in front of every sequence, seen by all its rows
  int64_t streamed_positions = 0;  // that a row sees, however long its sequence; 0: its own length
  std::vector<RopeConfig> ropes;   // of the layer kinds
  std::optional<MlaConfig> mla;    // else GQA

  ActivationParams activation;
  bool gated_mlp = true;
  bool mlp_bias = false;
  std::optional<MoeConfig> moe;

  WeightNames names;

  // What the checkpoint says it is stored in; unset where config.json is silent.
  std::optional<DType> checkpoint_dtype;
  std::vector<TokenId> eos_token_ids;  // of generation_config.json, else of config.json
  // What its authors pool by (1_Pooling/config.json of a sentence-transformers checkpoint); unset:
  // they don't say.
  std::optional<Pooling> pooling;

  // What pools where nobody says.
  Pooling default_pooling() const {
    return pooling.value_or(is_encoder ? Pooling::kMean : Pooling::kLast);
  }

  ModelRopes model_ropes() const {
    return {.own = ropes, .max_positions = max_position_embeddings};
  }

  // Whether the layer's queries turn once more for the sinks: these keep within the positions of
  // the window, while the sequence leaves them behind.
  bool StreamsSinks(const LayerConfig& layer) const {
    return layer.streams && layer.sinks + sink_tokens > 0;
  }

  GqaShape attention_shape(int layer) const {
    return {.num_heads = num_heads,
            .num_kv_heads = num_kv_heads,
            .head_dim = head_dim,
            .value_dim = value_dim,
            .window = layers[layer].window};
  }
};

// Reads config.json and, where present, generation_config.json of a checkpoint directory, as
// transformers 4 and 5 write them; of a multimodal checkpoint its text part. Every fault is one
// line with the file, the field, what was found and what was expected; an architecture that is not
// built is refused with those that are.
absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& directory);

}  // namespace quire

#endif  // QUIRE_MODEL_MODEL_CONFIG_H_
