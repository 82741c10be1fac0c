// Where weights come from: a checkpoint, or a fixed seed.
#ifndef QUIRE_MODEL_WEIGHT_SOURCE_H_
#define QUIRE_MODEL_WEIGHT_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/model_config.h"
#include "model/safetensors.h"
#include "ops/ops.h"

namespace quire {

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // <prefix>.weight [out_features, in_features] and, where has_bias, <prefix>.bias [out_features].
  // The memory stays readable until Done(prefix).
  virtual absl::StatusOr<WeightRows> Rows(const std::string& prefix, int64_t out_features,
                                          int64_t in_features, bool has_bias) = 0;
  // <prefix>.weight [size], as fp32.
  virtual absl::StatusOr<std::vector<float>> Vector(const std::string& prefix, int64_t size) = 0;
  // The weights of `prefix` won't be read again: their memory may go.
  virtual void Done(const std::string& prefix) = 0;

  // The type that dtype "auto" stands for.
  virtual DType stored_dtype() const = 0;
  // Names of tensors that nobody asked for.
  virtual std::vector<std::string> Unused() const = 0;
};

// From safetensors. Errors name the tensor, what was found and what was expected.
absl::StatusOr<std::unique_ptr<WeightSource>> OpenCheckpoint(const std::string& directory);

// Random weights of the right shapes: projections uniform with the standard deviation 0.02 of
// common initialisers, norm weights 1. The same config gives the same weights. For measuring speed.
std::unique_ptr<WeightSource> RandomWeights(const ModelConfig& config);

}  // namespace quire

#endif  // QUIRE_MODEL_WEIGHT_SOURCE_H_
