// The weights of a decoder on its device: merged, packed, moved once.
//
// Letters as in model_config.h; widths are those of the merged matrices.
#ifndef QUIRE_MODEL_WEIGHTS_H_
#define QUIRE_MODEL_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "model/model_config.h"
#include "model/weight_source.h"
#include "ops/ops.h"

namespace quire {

struct LayerWeights {
  Norm input_norm;                  // of E
  std::unique_ptr<Linear> qkv;      // E -> (H + 2 Hkv) D: queries, keys, values
  DeviceVector q_norm;              // [D], empty where the model has none
  DeviceVector k_norm;              // [D]
  std::unique_ptr<Linear> output;   // H D -> E
  Norm post_attention_norm;         // of E
  std::unique_ptr<Linear> gate_up;  // E -> 2 F: gate, up
  std::unique_ptr<Linear> down;     // F -> E
};

struct ModelWeights {
  std::vector<LayerWeights> layers;      // [L]
  Norm final_norm;                       // of E
  std::unique_ptr<Linear> lm_head;       // E -> V
  std::unique_ptr<Embedding> embedding;  // [V, E]; reads lm_head where tied
};

// Told the share of the parameters that has been loaded, after each matrix.
using LoadProgress = std::function<void(int64_t done, int64_t total)>;

// Reads, merges and packs everything; the source's memory is dropped piece by piece.
absl::StatusOr<ModelWeights> LoadWeights(const ModelConfig& config, DType act_dtype,
                                         WeightSource& source, Ops& ops,
                                         const LoadProgress& progress);

// Parameters of the model, biases and norms left out: what progress counts.
int64_t CountParameters(const ModelConfig& config);

}  // namespace quire

#endif  // QUIRE_MODEL_WEIGHTS_H_
