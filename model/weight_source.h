// Where weights come from: a checkpoint, or a fixed seed.
#ifndef QUIRE_MODEL_WEIGHT_SOURCE_H_
#define QUIRE_MODEL_WEIGHT_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "model/model_config.h"
#include "model/safetensors.h"
#include "ops/ops.h"

namespace quire {

// A matrix [out_features, in_features], and how it lies in the tensors of a checkpoint.
struct StoredMatrix {
  std::string weight;  // name of the tensor
  std::string bias;    // [out_features], or empty: none
  int64_t out_features = 0;
  int64_t in_features = 0;
  bool transposed = false;  // stored [in, out]
  // Of a tensor that stacks `count` of them in its first dimension, this one. 0: not stacked.
  int64_t count = 0;
  int64_t index = 0;
  // Every `step`-th row from `first` on of a stored matrix of step * out_features rows.
  int64_t step = 1;
  int64_t first = 0;
};

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // Whether the tensor is there.
  virtual bool Has(const std::string& name) const = 0;
  // The memory stays readable until Done. Where the tensor is not there, but <weight>_blocks and
  // <weight>_scales are, it is stored as MXFP4.
  virtual absl::StatusOr<WeightRows> Rows(const StoredMatrix& matrix) = 0;
  // A tensor of `size` elements in one dimension, as fp32.
  virtual absl::StatusOr<std::vector<float>> Vector(const std::string& name, int64_t size) = 0;
  // The tensor won't be read again: its memory may go.
  virtual void Done(const std::string& name) = 0;

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

// The shapes of a checkpoint of `config`: their memory isn't there to be read. For counting.
std::unique_ptr<WeightSource> WeightShapes(const ModelConfig& config);

}  // namespace quire

#endif  // QUIRE_MODEL_WEIGHT_SOURCE_H_
