#include "ops/cpu/cpu_ops.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/ceil_div.h"
#include "core/check.h"
#include "core/cpu/element_type_of.h"
#include "core/status_macros.h"
#include "ops/cpu/cpu_embedding.h"
#include "ops/cpu/cpu_experts.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/ops_kernel_table.h"
#include "ops/cpu/packed_linear.h"
#include "ops/cpu/row_tasks.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

class CpuOps : public Ops {
 public:
  CpuOps(ThreadPool& pool, DeviceMemory& memory, CpuIsa isa, const CpuOpsOptions& options)
      : pool_(pool),
        memory_(memory),
        kernels_(OpsKernelsFor(isa)),
        gemm_(isa, pool, memory, options.max_rows, options.use_onednn),
        experts_(kernels_, pool, memory, gemm_, options.max_rows) {}

  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(const LinearSpec& spec) override {
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<PackedLinear> linear,
                           PackedLinear::Pack(spec, kernels_, pool_, memory_));
    QUIRE_RETURN_IF_ERROR(gemm_.Prepare(*linear));
    return linear;
  }

  absl::StatusOr<std::unique_ptr<Embedding>> MakeEmbedding(const WeightRows& table, int64_t width,
                                                           DType act_dtype) override {
    QUIRE_CHECK(act_dtype != DType::kFloat16);
    QUIRE_CHECK(table.is_plain());
    const size_t row_bytes = width * DTypeBytes(act_dtype);
    QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                           memory_.Allocate(table.out_features * row_bytes, "weights"));
    const size_t source_bytes = table.RowStride(width) * DTypeBytes(table.weight_dtype);
    const DeviceMatrix out{buffer.data(), act_dtype, table.out_features, width, width};
    ForRows(pool_, table.out_features, width, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        kernels_.copy_row(static_cast<const char*>(table.weight) + row * source_bytes,
                          ToElementType(table.weight_dtype), width, RowData(out, row),
                          ToElementType(act_dtype));
      }
    });
    return std::make_unique<CpuEmbedding>(act_dtype, table.out_features, width, std::move(buffer));
  }

  std::unique_ptr<Embedding> TieEmbedding(const Linear& linear) override {
    return std::make_unique<CpuEmbedding>(static_cast<const PackedLinear&>(linear));
  }

  absl::StatusOr<DeviceVector> MakeVector(absl::Span<const float> values) override {
    QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                           memory_.Allocate(values.size() * sizeof(float), "weights"));
    memory_.CopyFromHost(buffer.data(), values.data(), buffer.bytes());
    return DeviceVector{std::move(buffer)};
  }

  absl::StatusOr<std::unique_ptr<Experts>> MakeExperts(ExpertsSpec spec) override {
    CheckExpertsSpec(spec);
    auto experts = std::make_unique<CpuExperts>(std::move(spec));
    QUIRE_RETURN_IF_ERROR(experts_.Prepare(*experts));
    return experts;
  }

  void Embed(const Embedding& table, DeviceArray<const int32_t> ids, EmbedOptions options,
             const DeviceMatrix& out) override {
    const auto& own = static_cast<const CpuEmbedding&>(table);
    CheckEmbed(own.width(), ids, out);
    // A tied row is gathered word by word from as many cache lines: small tasks.
    ForRows(pool_, out.rows, 16 * out.cols, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        own.Read(kernels_, ids.data[t], options, out.Row<float>(t));
      }
    });
  }

  void Normalise(const DeviceMatrix& x, const Norm& norm, const DeviceMatrix& out) override {
    CheckNormalise(x, norm, out);
    RunNorm(x, nullptr, norm, out, {});
  }

  void AddNormalise(const AddNormaliseArgs& args) override {
    CheckAddNormalise(args);
    NormRowsArgs start{};
    start.delta_scale = args.delta_scale;
    start.into_x = args.into_residual;
    RunNorm(args.residual, &args.delta, args.norm, args.out, start);
  }

  void ApplyGroup(absl::Span<const Product> products) override {
    for (const Product& product : products) {
      const auto& own = static_cast<const PackedLinear&>(*product.linear);
      CheckApply(own, own.act_dtype(), product.x, product.y);
    }
    gemm_.Run(products);
  }

  void GatedActivation(const ActivationParams& activation, const DeviceMatrix& gate_up,
                       const DeviceMatrix& out) override {
    CheckGatedActivation(gate_up, out);
    RunActivation(activation, /*gated=*/true, gate_up, out);
  }

  void Activate(const ActivationParams& activation, const DeviceMatrix& x,
                const DeviceMatrix& out) override {
    CheckActivate(activation, x, out);
    RunActivation(activation, /*gated=*/false, x, out);
  }

  void AddTo(const DeviceMatrix& x, float scale, const DeviceMatrix& out) override {
    CheckAddTo(x, out);
    RunAddScaled(x, scale, nullptr, out);
  }

  void AddSigmoidGated(const DeviceMatrix& x, const DeviceMatrix& gate,
                       const DeviceMatrix& out) override {
    CheckAddSigmoidGated(x, gate, out);
    RunAddScaled(x, 1.0F, &gate, out);
  }

  void SoftcapLogits(const DeviceMatrix& logits, float scale, float cap) override {
    CheckSoftcapLogits(logits, cap);
    // A row of logits is long: its pieces are rows of their own.
    constexpr int64_t kPiece = kTaskElements / 4;
    const int64_t pieces = CeilDiv(logits.cols, kPiece);
    ForRows(pool_, logits.rows * pieces, 4 * kPiece, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t column = i % pieces * kPiece;
        kernels_.softcap(logits.Row<float>(i / pieces) + column,
                         std::min(kPiece, logits.cols - column), scale, cap);
      }
    });
  }

  void Route(const RouterParams& params, const DeviceMatrix& logits, DeviceArray<int32_t> ids,
             const DeviceMatrix& weights) override {
    CheckRoute(params, logits, ids, weights);
    RouteArgs args{};
    args.logits_stride = logits.row_stride;
    args.num_experts = params.num_experts;
    args.top_k = params.top_k;
    args.scoring = params.scoring;
    args.normalise = params.normalise;
    args.scale = params.scale;
    args.num_groups = params.num_groups;
    args.top_groups = params.top_groups;
    args.group_score = params.group_score;
    args.correction_bias = params.correction_bias.data();
    args.weights_stride = weights.row_stride;
    ForRows(pool_, logits.rows, 16 * logits.cols, [&](int64_t begin, int64_t end) {
      RouteArgs some = args;
      some.logits = logits.Row<float>(begin);
      some.rows = end - begin;
      some.ids = ids.data + begin * params.top_k;
      some.weights = weights.Row<float>(begin);
      kernels_.route(some);
    });
  }

  void ApplyExperts(const Experts& experts, const DeviceMatrix& x, DeviceArray<const int32_t> ids,
                    const DeviceMatrix& weights, const DeviceMatrix& out) override {
    const auto& own = static_cast<const CpuExperts&>(experts);
    CheckApplyExperts(own.spec(), x, ids, weights, out);
    experts_.Run(own, x, ids, weights, out);
  }

  void GatherRows(const DeviceMatrix& x, DeviceArray<const int32_t> rows,
                  const DeviceMatrix& out) override {
    CheckGatherRows(x, rows, out);
    for (int64_t r = 0; r < out.rows; ++r) {
      QUIRE_CHECK(rows.data[r] >= 0 && rows.data[r] < x.rows) << rows.data[r];
    }
    const size_t row_bytes = out.cols * DTypeBytes(out.dtype);
    ForRows(pool_, out.rows, out.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        std::memcpy(out.Rows(r, 1).data, x.Rows(rows.data[r], 1).data, row_bytes);
      }
    });
  }

  // Bound by reading x once, which is little beside the products that made it.
  void SumRows(const DeviceMatrix& x, absl::Span<float> sum) override {
    CheckSumRows(x, sum);
    for (int64_t r = 0; r < x.rows; ++r) {
      const void* row = x.Rows(r, 1).data;
      for (int64_t i = 0; i < x.cols; ++i) {
        sum[i] += x.dtype == DType::kFloat32 ? static_cast<const float*>(row)[i]
                                             : ToFloat(static_cast<const bf16*>(row)[i]);
      }
    }
  }

 private:
  // `args` has what is done with the delta and x; the rest is filled in.
  void RunNorm(const DeviceMatrix& x, const DeviceMatrix* delta, const Norm& norm,
               const DeviceMatrix& out, NormRowsArgs args) {
    args.kind = norm.kind;
    args.x_stride = x.row_stride;
    args.x_type = ToElementType(x.dtype);
    args.weight = norm.weight.data();
    args.bias = norm.bias.data();
    args.eps = norm.eps;
    args.out_stride = out.row_stride;
    args.out_type = ToElementType(out.dtype);
    args.width = x.cols;
    if (delta != nullptr) {
      args.delta_stride = delta->row_stride;
      args.delta_type = ToElementType(delta->dtype);
    }
    ForRows(pool_, x.rows, 2 * x.cols, [&](int64_t begin, int64_t end) {
      NormRowsArgs some = args;
      some.x = RowData(x, begin);
      some.delta = delta == nullptr ? nullptr : RowData(*delta, begin);
      some.out = RowData(out, begin);
      some.rows = end - begin;
      kernels_.normalise(some);
    });
  }

  void RunActivation(const ActivationParams& activation, bool gated, const DeviceMatrix& x,
                     const DeviceMatrix& out) {
    ForRows(pool_, out.rows, 4 * out.cols, [&](int64_t begin, int64_t end) {
      kernels_.activate({activation, gated, RowData(x, begin), x.row_stride, RowData(out, begin),
                         out.row_stride, ToElementType(out.dtype), end - begin, out.cols});
    });
  }

  void RunAddScaled(const DeviceMatrix& x, float scale, const DeviceMatrix* gate,
                    const DeviceMatrix& out) {
    ForRows(pool_, out.rows, 2 * out.cols, [&](int64_t begin, int64_t end) {
      AddScaledArgs args{};
      args.x = RowData(x, begin);
      args.x_stride = x.row_stride;
      args.x_type = ToElementType(x.dtype);
      args.scale = scale;
      if (gate != nullptr) {
        args.gate = RowData(*gate, begin);
        args.gate_stride = gate->row_stride;
        args.gate_type = ToElementType(gate->dtype);
      }
      args.out = out.Row<float>(begin);
      args.out_stride = out.row_stride;
      args.rows = end - begin;
      args.width = out.cols;
      kernels_.add_scaled(args);
    });
  }

  ThreadPool& pool_;
  DeviceMemory& memory_;
  const OpsKernels& kernels_;
  Gemm gemm_;
  ExpertsRunner experts_;
};

}  // namespace

std::unique_ptr<Ops> MakeCpuOps(ThreadPool& pool, DeviceMemory& memory, CpuIsa isa,
                                const CpuOpsOptions& options) {
  return std::make_unique<CpuOps>(pool, memory, isa, options);
}

}  // namespace quire
