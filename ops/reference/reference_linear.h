// Weights as the oracle holds them: plain row-major matrices.
#ifndef QUIRE_OPS_REFERENCE_REFERENCE_LINEAR_H_
#define QUIRE_OPS_REFERENCE_REFERENCE_LINEAR_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/device_memory.h"
#include "ops/ops.h"

namespace quire {

class ReferenceLinear : public Linear {
 public:
  ReferenceLinear(int64_t in_features, int64_t out_features, DType act_dtype, DeviceBuffer weight,
                  DeviceBuffer bias)
      : Linear(in_features, out_features),
        act_dtype_(act_dtype),
        weight_(std::move(weight)),
        bias_(std::move(bias)) {}

  size_t bytes() const override { return weight_.bytes() + bias_.bytes(); }
  DType act_dtype() const { return act_dtype_; }
  float* weight() const { return static_cast<float*>(weight_.data()); }  // [N, K], rounded to act
  float* bias() const { return static_cast<float*>(bias_.data()); }      // [N]

 private:
  DType act_dtype_;
  DeviceBuffer weight_;
  DeviceBuffer bias_;
};

class ReferenceEmbedding : public Embedding {
 public:
  // Owns `buffer` when the table is its own. `table` is [V, E].
  ReferenceEmbedding(const float* table, int64_t vocabulary, int64_t width, DeviceBuffer buffer)
      : table_(table), vocabulary_(vocabulary), width_(width), buffer_(std::move(buffer)) {}

  size_t bytes() const override { return buffer_.bytes(); }
  int64_t vocabulary() const { return vocabulary_; }
  int64_t width() const { return width_; }
  const float* Row(int32_t token) const { return table_ + token * width_; }

 private:
  const float* table_;
  int64_t vocabulary_;
  int64_t width_;
  DeviceBuffer buffer_;
};

}  // namespace quire

#endif  // QUIRE_OPS_REFERENCE_REFERENCE_LINEAR_H_
