// The weights of a model in the memory of its device: what a backend makes of a checkpoint's rows.
//
// Letters as in ops.h.
#ifndef QUIRE_OPS_WEIGHT_MAKER_H_
#define QUIRE_OPS_WEIGHT_MAKER_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/device_memory.h"
#include "core/dtype.h"
#include "ops/op_kinds.h"
#include "ops/weight_rows.h"

namespace quire {

// y = x W^T + b, with W the parts' rows one after the other (merged QKV, merged gate-up).
struct LinearSpec {
  std::string name;  // for messages
  int64_t in_features = 0;
  std::vector<WeightRows> parts;       // in the order of their rows
  DType act_dtype = DType::kBFloat16;  // weights are converted to it and packed once

  bool has_bias() const {
    return std::any_of(parts.begin(), parts.end(),
                       [](const WeightRows& part) { return part.bias != nullptr; });
  }
};

// A packed weight, opaque to the layers above.
class Linear {
 public:
  virtual ~Linear() = default;
  int64_t in_features() const { return in_features_; }    // K
  int64_t out_features() const { return out_features_; }  // N
  // Device bytes of the packed weight (padding included) and the bias.
  virtual size_t bytes() const = 0;

 protected:
  Linear(int64_t in_features, int64_t out_features)
      : in_features_(in_features), out_features_(out_features) {}

 private:
  int64_t in_features_;
  int64_t out_features_;
};

// A table of token vectors. Tied embeddings read the rows of the output projection: one copy.
class Embedding {
 public:
  virtual ~Embedding() = default;
  virtual size_t bytes() const = 0;  // 0 when tied
};

// A vector of fp32 parameters in device memory (norm weights).
struct DeviceVector {
  DeviceBuffer buffer;
  const float* data() const { return static_cast<const float*>(buffer.data()); }
  int64_t size() const { return static_cast<int64_t>(buffer.bytes() / sizeof(float)); }
};

// The weights of an expert layer: out = sum over chosen experts of weight * down(activation(gate,
// up)), with gate and up from gate_up. Biases are the linears' own.
struct ExpertsSpec {
  std::vector<std::unique_ptr<Linear>> gate_up;  // [X], each E -> 2 F: gate, up
  std::vector<std::unique_ptr<Linear>> down;     // [X], each F -> E
  ActivationParams activation;
  int top_k = 0;
  DType act_dtype = DType::kBFloat16;
};

class Experts {
 public:
  virtual ~Experts() = default;
  // Device bytes of all linears.
  virtual size_t bytes() const = 0;
};

class WeightMaker {
 public:
  virtual ~WeightMaker() = default;

  // Converts, merges and packs; the source is not read again afterwards. RESOURCE_EXHAUSTED when
  // device memory ends.
  virtual absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(const LinearSpec& spec) = 0;
  // The token table [V, E] of its own, of plain rows, or one that reads `linear` (the tied lm_head,
  // N = V, K = E), which must outlive it.
  virtual absl::StatusOr<std::unique_ptr<Embedding>> MakeEmbedding(const WeightRows& table,
                                                                   int64_t width,
                                                                   DType act_dtype) = 0;
  virtual std::unique_ptr<Embedding> TieEmbedding(const Linear& linear) = 0;
  virtual absl::StatusOr<DeviceVector> MakeVector(absl::Span<const float> values) = 0;
  // Takes the room that ApplyExperts needs, shared by all layers.
  virtual absl::StatusOr<std::unique_ptr<Experts>> MakeExperts(ExpertsSpec spec) = 0;
  // No more weights follow: all are whole, and what their making needed is given back.
  virtual void FinishWeights() {}
};

}  // namespace quire

#endif  // QUIRE_OPS_WEIGHT_MAKER_H_
