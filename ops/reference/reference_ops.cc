#include "ops/reference/reference_ops.h"

#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/elements.h"
#include "core/status_macros.h"
#include "ops/op_checks.h"
#include "ops/reference/reference_linear.h"
#include "ops/reference/reference_router.h"

namespace quire {
namespace {

class ReferenceExperts : public Experts {
 public:
  explicit ReferenceExperts(ExpertsSpec spec) : spec_(std::move(spec)) {}
  size_t bytes() const override {
    size_t bytes = 0;
    for (const auto& linear : spec_.gate_up) bytes += linear->bytes();
    for (const auto& linear : spec_.down) bytes += linear->bytes();
    return bytes;
  }
  const ExpertsSpec& spec() const { return spec_; }

 private:
  ExpertsSpec spec_;
};

// A row of an intermediate result.
struct OwnRow {
  OwnRow(DType dtype, int64_t cols) : storage(cols), view{storage.data(), dtype, 1, cols, cols} {}
  std::vector<float> storage;
  DeviceMatrix view;
};

double Sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

double Activated(Activation kind, double x) {
  switch (kind) {
    case Activation::kSilu:
      return x * Sigmoid(x);
    case Activation::kGeluTanh:
      return x * Sigmoid(2.0 * std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x));
    case Activation::kGeluExact:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::kRelu:
      return x < 0.0 ? 0.0 : x;
    case Activation::kClampedSwiglu:
      break;
  }
  QUIRE_CHECK(false) << "it needs a gate";
  return 0.0;
}

double Gated(const ActivationParams& activation, double gate, double up) {
  if (activation.kind != Activation::kClampedSwiglu) return Activated(activation.kind, gate) * up;
  const double limit = activation.limit;
  gate = gate > limit ? limit : gate;
  up = up > limit ? limit : up < -limit ? -limit : up;
  return (up + 1.0) * gate * Sigmoid(activation.alpha * gate);
}

// x normalised, before weight and bias.
std::vector<double> NormalisedRow(const Norm& norm, const DeviceMatrix& x, int64_t row) {
  std::vector<double> values(x.cols);
  for (int64_t i = 0; i < x.cols; ++i) values[i] = LoadElement(x, row, i);
  if (norm.kind == NormKind::kNone) return values;
  const auto count = static_cast<double>(x.cols);
  if (norm.kind == NormKind::kLayer) {
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
    for (double& value : values) value -= mean;
  }
  double squares = 0.0;
  for (double value : values) squares += value * value;
  for (double& value : values) value /= std::sqrt(squares / count + norm.eps);
  return values;
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
      for (int64_t row = 0; row < part.out_features; ++row) {
        float* out = linear->weight() + (first_row + row) * spec.in_features;
        for (int64_t i = 0; i < spec.in_features; ++i) {
          out[i] = RoundTo(spec.act_dtype, LoadWeight(part, spec.in_features, row, i));
        }
        if (part.bias == nullptr) continue;
        linear->bias()[first_row + row] =
            LoadElement(part.bias, part.bias_dtype, row * part.bias_stride);
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
      data[i] = RoundTo(act_dtype, LoadWeight(table, width, i / width, i % width));
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

  absl::StatusOr<std::unique_ptr<Experts>> MakeExperts(ExpertsSpec spec) override {
    CheckExpertsSpec(spec);
    return std::make_unique<ReferenceExperts>(std::move(spec));
  }

  void Embed(const Embedding& table, DeviceArray<const int32_t> ids, EmbedOptions options,
             const DeviceMatrix& out) override {
    const auto& own = static_cast<const ReferenceEmbedding&>(table);
    CheckEmbed(own.width(), ids, out);
    for (int64_t t = 0; t < out.rows; ++t) {
      const int32_t id = ids.data[t];
      QUIRE_CHECK(id >= 0 && id < own.vocabulary()) << id;
      for (int64_t i = 0; i < out.cols; ++i) {
        const float value = options.scale * own.Row(id)[i];
        StoreElement(out, t, i, options.accumulate ? LoadElement(out, t, i) + value : value);
      }
    }
  }

  void Normalise(const DeviceMatrix& x, const Norm& norm, const DeviceMatrix& out) override {
    CheckNormalise(x, norm, out);
    for (int64_t t = 0; t < x.rows; ++t) {
      const std::vector<double> values = NormalisedRow(norm, x, t);
      for (int64_t i = 0; i < x.cols; ++i) {
        const double weight = norm.weight.size() == 0 ? 1.0 : norm.weight.data()[i];
        const double bias = norm.bias.size() == 0 ? 0.0 : norm.bias.data()[i];
        StoreElement(out, t, i, static_cast<float>(values[i] * weight + bias));
      }
    }
  }

  void AddNormalise(const AddNormaliseArgs& args) override {
    CheckAddNormalise(args);
    for (int64_t t = 0; t < args.residual.rows; ++t) {
      for (int64_t i = 0; i < args.residual.cols; ++i) {
        const double delta = args.delta_scale * double{LoadElement(args.delta, t, i)};
        StoreElement(args.residual, t, i,
                     static_cast<float>(LoadElement(args.residual, t, i) + delta));
      }
    }
    Normalise(args.residual, args.norm, args.out);
    if (args.into_residual) Normalise(args.residual, args.norm, args.residual);
  }

  void ApplyGroup(absl::Span<const Product> products) override {
    for (const auto& [linear, x, y, num_generated] : products) {
      const auto& own = static_cast<const ReferenceLinear&>(*linear);
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
  }

  void GatedActivation(const ActivationParams& activation, const DeviceMatrix& gate_up,
                       const DeviceMatrix& out) override {
    CheckGatedActivation(gate_up, out);
    for (int64_t t = 0; t < out.rows; ++t) {
      for (int64_t i = 0; i < out.cols; ++i) {
        const double value =
            Gated(activation, LoadElement(gate_up, t, i), LoadElement(gate_up, t, out.cols + i));
        StoreElement(out, t, i, static_cast<float>(value));
      }
    }
  }

  void Activate(const ActivationParams& activation, const DeviceMatrix& x,
                const DeviceMatrix& out) override {
    CheckActivate(activation, x, out);
    for (int64_t t = 0; t < out.rows; ++t) {
      for (int64_t i = 0; i < out.cols; ++i) {
        const double value = Activated(activation.kind, LoadElement(x, t, i));
        StoreElement(out, t, i, static_cast<float>(value));
      }
    }
  }

  void AddTo(const DeviceMatrix& x, float scale, const DeviceMatrix& out) override {
    CheckAddTo(x, out);
    for (int64_t t = 0; t < out.rows; ++t) AddRow(x, scale, t, out);
  }

  void AddSigmoidGated(const DeviceMatrix& x, const DeviceMatrix& gate,
                       const DeviceMatrix& out) override {
    CheckAddSigmoidGated(x, gate, out);
    for (int64_t t = 0; t < out.rows; ++t) AddRow(x, Sigmoid(LoadElement(gate, t, 0)), t, out);
  }

  void SoftcapLogits(const DeviceMatrix& logits, float scale, float cap) override {
    CheckSoftcapLogits(logits, cap);
    for (int64_t t = 0; t < logits.rows; ++t) {
      for (int64_t i = 0; i < logits.cols; ++i) {
        const double value = double{scale} * LoadElement(logits, t, i);
        const double capped = cap == 0.0F ? value : cap * std::tanh(value / cap);
        StoreElement(logits, t, i, static_cast<float>(capped));
      }
    }
  }

  void Route(const RouterParams& params, const DeviceMatrix& logits, DeviceArray<int32_t> ids,
             const DeviceMatrix& weights) override {
    ReferenceRoute(params, logits, ids, weights);
  }

  void ApplyExperts(const Experts& experts, const DeviceMatrix& x, DeviceArray<const int32_t> ids,
                    const DeviceMatrix& weights, const DeviceMatrix& out) override {
    const ExpertsSpec& spec = static_cast<const ReferenceExperts&>(experts).spec();
    CheckApplyExperts(spec, x, ids, weights, out);
    OwnRow gate_up(spec.act_dtype, spec.gate_up[0]->out_features());
    OwnRow gated(spec.act_dtype, spec.down[0]->in_features());
    OwnRow down(DType::kFloat32, x.cols);
    for (int64_t t = 0; t < x.rows; ++t) {
      std::vector<double> sum(x.cols);
      for (int64_t j = 0; j < spec.top_k; ++j) {
        const int32_t expert = ids.data[t * spec.top_k + j];
        Apply(*spec.gate_up[expert], x.Rows(t, 1), gate_up.view);
        GatedActivation(spec.activation, gate_up.view, gated.view);
        Apply(*spec.down[expert], gated.view, down.view);
        const double weight = LoadElement(weights, t, j);
        for (int64_t i = 0; i < x.cols; ++i) sum[i] += weight * down.storage[i];
      }
      for (int64_t i = 0; i < x.cols; ++i) StoreElement(out, t, i, static_cast<float>(sum[i]));
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

  void SumRows(const DeviceMatrix& x, absl::Span<float> sum) override {
    CheckSumRows(x, sum);
    for (int64_t i = 0; i < x.cols; ++i) {
      for (int64_t r = 0; r < x.rows; ++r) sum[i] += LoadElement(x, r, i);
    }
  }

 private:
  static void AddRow(const DeviceMatrix& x, double scale, int64_t row, const DeviceMatrix& out) {
    for (int64_t i = 0; i < out.cols; ++i) {
      const double sum = LoadElement(out, row, i) + scale * LoadElement(x, row, i);
      StoreElement(out, row, i, static_cast<float>(sum));
    }
  }

  DeviceMemory& memory_;
};

}  // namespace

std::unique_ptr<Ops> MakeReferenceOps(DeviceMemory& memory) {
  return std::make_unique<ReferenceOps>(memory);
}

}  // namespace quire
