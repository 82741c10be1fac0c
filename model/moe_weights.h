// The weights of a layer's mixture of experts.
#ifndef QUIRE_MODEL_MOE_WEIGHTS_H_
#define QUIRE_MODEL_MOE_WEIGHTS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/model_config.h"
#include "model/weight_loader.h"
#include "ops/ops.h"

namespace quire {

struct MoeWeights {
  std::unique_ptr<Linear> router;  // E -> X
  RouterParams routing;
  std::unique_ptr<Experts> experts;
  MlpWeights shared;                    // of the expert that sees every token, or null
  std::unique_ptr<Linear> shared_gate;  // E -> 1, or null
};

// `at` is the prefix of the layer's names.
absl::StatusOr<MoeWeights> LoadMoe(const std::string& at, WeightLoader& loader);

// Of one layer.
int64_t CountMoeParameters(const ModelConfig& config);

}  // namespace quire

#endif  // QUIRE_MODEL_MOE_WEIGHTS_H_
