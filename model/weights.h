// The weights of a model on its device: merged, packed, moved once.
//
// Letters as in model_config.h; widths are those of the merged matrices.
#ifndef QUIRE_MODEL_WEIGHTS_H_
#define QUIRE_MODEL_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/mla_block.h"
#include "model/model_config.h"
#include "model/moe_weights.h"
#include "model/weight_loader.h"
#include "model/weight_source.h"
#include "ops/ops.h"

namespace quire {

struct GqaWeights {
  std::unique_ptr<Linear> qkv;             // E -> H D + Hkv D + Hkv Dv: queries, keys, values
  DeviceVector q_norm;                     // [D], or as QkNorm says; empty where the model has none
  DeviceVector k_norm;                     //
  DeviceVector sink_logits;                // [H], or empty
  std::unique_ptr<Embedding> sink_tokens;  // [n, E], what the learned ones project, or null
  std::unique_ptr<Linear> output;          // H Dv -> E
};

struct LayerWeights {
  Norm attention_norm;      // of E, before attention; where norms stand behind the sum, there
  Norm attention_out_norm;  // of what attention adds; kNone where the model has none
  Norm mlp_norm;            // likewise
  Norm mlp_out_norm;
  GqaWeights gqa;
  std::optional<MlaWeights> mla;  // in its place
  MlpWeights mlp;
  std::optional<MoeWeights> moe;  // in its place
};

struct ModelWeights {
  std::unique_ptr<Embedding> embedding;    // [V, E]; reads lm_head where tied
  std::unique_ptr<Embedding> positions;    // [context, E], or null
  std::unique_ptr<Embedding> token_types;  // [., E], or null
  Norm embedding_norm;
  std::vector<LayerWeights> layers;  // [L]
  Norm final_norm;
  std::unique_ptr<Linear> lm_head;  // E -> V; null for encoders
  // Tensors of the checkpoint that the model has no use for, but those that are known to lie there.
  std::vector<std::string> unused_tensors;
};

// Reads, merges and packs everything; the source's memory is dropped piece by piece.
absl::StatusOr<ModelWeights> LoadWeights(const ModelConfig& config, DType act_dtype,
                                         WeightSource& source, WeightMaker& maker,
                                         const LoadProgress& progress);

// Parameters of the model, biases and norms left out: what progress counts.
int64_t CountParameters(const ModelConfig& config);

}  // namespace quire

#endif  // QUIRE_MODEL_WEIGHTS_H_
