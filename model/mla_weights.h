// The weights of latent attention as checkpoints name them.
#ifndef QUIRE_MODEL_MLA_WEIGHTS_H_
#define QUIRE_MODEL_MLA_WEIGHTS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "model/mla_block.h"
#include "model/model_config.h"
#include "model/weight_loader.h"

namespace quire {

// `at` is the prefix of the layer's names.
absl::StatusOr<MlaWeights> LoadMla(const std::string& at, WeightLoader& loader);

// Of one layer.
int64_t CountMlaParameters(const ModelConfig& config);

}  // namespace quire

#endif  // QUIRE_MODEL_MLA_WEIGHTS_H_
