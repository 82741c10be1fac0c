// The architectures that run: each a mapping from the keys of its config.json to ModelConfig.
// docs/models.md lists them with the checkpoints that users look for.
#ifndef QUIRE_MODEL_FAMILIES_H_
#define QUIRE_MODEL_FAMILIES_H_

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/json.h"
#include "model/model_config.h"

namespace quire {

struct Family {
  const char* architecture;
  // `root` is config.json, or its text_config.
  absl::Status (*read)(const JsonNode& root, ModelConfig& config);
};

// One table for each file of them.
absl::Span<const Family> DenseFamilies();
absl::Span<const Family> GemmaFamilies();
absl::Span<const Family> MoeFamilies();
absl::Span<const Family> EncoderFamilies();

}  // namespace quire

#endif  // QUIRE_MODEL_FAMILIES_H_
