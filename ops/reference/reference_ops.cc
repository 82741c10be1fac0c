#include "ops/reference/reference_ops.h"

#include <cmath>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/elements.h"
#include "core/status_macros.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

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

// sum(x^2) / E of one row.
double MeanSquare(const DeviceMatrix& x, int64_t row) {
  double sum = 0.0;
  for (int64_t i = 0; i < x.cols; ++i) {
    const double value = LoadElement(x, row, i);
    sum += value * value;
  }
  return sum / static_cast<double>(x.cols);
}

class ReferenceOps : public Ops {
 public:
  explicit ReferenceOps(DeviceMemory& memory) : memory_(memory) {}

  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(const LinearSpec& spec) override {
    const int64_t out_features = CheckLinearSpec(spec);
    QUIRE_ASSIGN_OR_RETURN(
        DeviceBuffer weight,
        memory_.Allocate(out_features * spec.in_features * sizeof(float), "weights"));
    QUIRE_ASSIGN_OR_RETURN(DeviceBuffer bias,
                           memory_.Allocate(out_features * sizeof(float), "weights"));
    auto linear = std::make_unique<ReferenceLinear>(spec.in_features, out_features, spec.act_dtype,
                                                    std::move(weight), std::move(bias));
    int64_t first_row = 0;
    for (const WeightRows& part : spec.parts) {
      for (int64_t i = 0; i < part.out_features * spec.in_features; ++i) {
        linear->weight()[first_row * spec.in_features + i] =
            RoundTo(spec.act_dtype, LoadElement(part.weight, part.weight_dtype, i));
      }
      for (int64_t i = 0; part.bias != nullptr && i < part.out_features; ++i) {
        linear->bias()[first_row + i] = LoadElement(part.bias, part.bias_dtype, i);
      }
      first_row += part.out_features;
    }
    return linear;
  }

  absl::StatusOr<std::unique_ptr<Embedding>> MakeEmbedding(const WeightRows& table, int64_t width,
                                                           DType act_dtype) override {
    const int64_t count = table.out_features * width;
    QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer, memory_.Allocate(count * sizeof(float), "weights"));
    auto* data = static_cast<float*>(buffer.data());
    for (int64_t i = 0; i < count; ++i) {
      data[i] = RoundTo(act_dtype, LoadElement(table.weight, table.weight_dtype, i));
    }
    return std::make_unique<ReferenceEmbedding>(data, table.out_features, width, std::move(buffer));
  }

  std::unique_ptr<Embedding> TieEmbedding(const Linear& linear) override {
    const auto& own = static_cast<const ReferenceLinear&>(linear);
    return std::make_unique<ReferenceEmbedding>(own.weight(), own.out_features(), own.in_features(),
                                                DeviceBuffer());
  }

  absl::StatusOr<DeviceVector> MakeVector(absl::Span<const float> values) override {
    QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                           memory_.Allocate(values.size() * sizeof(float), "weights"));
    memory_.CopyFromHost(buffer.data(), values.data(), buffer.bytes());
    return DeviceVector{std::move(buffer)};
  }

  void Embed(const Embedding& table, DeviceArray<const int32_t> token_ids,
             const DeviceMatrix& out) override {
    const auto& own = static_cast<const ReferenceEmbedding&>(table);
    CheckEmbed(own.width(), token_ids, out);
    for (int64_t t = 0; t < out.rows; ++t) {
      const int32_t token = token_ids.data[t];
      QUIRE_CHECK(token >= 0 && token < own.vocabulary()) << token;
      for (int64_t i = 0; i < out.cols; ++i) StoreElement(out, t, i, own.Row(token)[i]);
    }
  }

  void RmsNorm(const DeviceMatrix& x, const DeviceVector& weight, float eps,
               const DeviceMatrix& out) override {
    CheckRmsNorm(x, weight, out);
    for (int64_t t = 0; t < x.rows; ++t) {
      const double scale = 1.0 / std::sqrt(MeanSquare(x, t) + eps);
      for (int64_t i = 0; i < x.cols; ++i) {
        const double value = LoadElement(x, t, i) * scale * weight.data()[i];
        StoreElement(out, t, i, static_cast<float>(value));
      }
    }
  }

  void AddRmsNorm(const DeviceMatrix& residual, const DeviceMatrix& delta,
                  const DeviceVector& weight, float eps, const DeviceMatrix& out) override {
    CheckAddRmsNorm(residual, delta, weight, out);
    for (int64_t t = 0; t < residual.rows; ++t) {
      for (int64_t i = 0; i < residual.cols; ++i) {
        StoreElement(residual, t, i, LoadElement(residual, t, i) + LoadElement(delta, t, i));
      }
    }
    RmsNorm(residual, weight, eps, out);
  }

  void Apply(const Linear& linear, const DeviceMatrix& x, const DeviceMatrix& y) override {
    const auto& own = static_cast<const ReferenceLinear&>(linear);
    CheckApply(own, own.act_dtype(), x, y);
    std::vector<double> row(x.cols);
    for (int64_t m = 0; m < y.rows; ++m) {
      for (int64_t k = 0; k < x.cols; ++k) row[k] = LoadElement(x, m, k);
      for (int64_t n = 0; n < y.cols; ++n) {
        double sum = own.bias()[n];
        const float* w = own.weight() + n * x.cols;
        for (int64_t k = 0; k < x.cols; ++k) sum += row[k] * w[k];
        StoreElement(y, m, n, static_cast<float>(sum));
      }
    }
  }

  void SiluMul(const DeviceMatrix& gate_up, const DeviceMatrix& out) override {
    CheckSiluMul(gate_up, out);
    for (int64_t t = 0; t < out.rows; ++t) {
      for (int64_t i = 0; i < out.cols; ++i) {
        const double gate = LoadElement(gate_up, t, i);
        const double up = LoadElement(gate_up, t, out.cols + i);
        StoreElement(out, t, i, static_cast<float>(gate / (1.0 + std::exp(-gate)) * up));
      }
    }
  }

  void GatherRows(const DeviceMatrix& x, DeviceArray<const int32_t> rows,
                  const DeviceMatrix& out) override {
    CheckGatherRows(x, rows, out);
    for (int64_t r = 0; r < out.rows; ++r) {
      QUIRE_CHECK(rows.data[r] >= 0 && rows.data[r] < x.rows) << rows.data[r];
      for (int64_t i = 0; i < out.cols; ++i)
        StoreElement(out, r, i, LoadElement(x, rows.data[r], i));
    }
  }

 private:
  DeviceMemory& memory_;
};

}  // namespace

std::unique_ptr<Ops> MakeReferenceOps(DeviceMemory& memory) {
  return std::make_unique<ReferenceOps>(memory);
}

}  // namespace quire
