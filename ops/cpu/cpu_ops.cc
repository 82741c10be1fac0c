#include "ops/cpu/cpu_ops.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/functional/function_ref.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "core/cpu/element_type_of.h"
#include "core/status_macros.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/ops_kernel_table.h"
#include "ops/cpu/packed_linear.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

// Elements of row ops that one task takes: long against a fork of some microseconds.
constexpr int64_t kTaskElements = 16384;

class CpuEmbedding : public Embedding {
 public:
  // A table of its own, [V, E].
  CpuEmbedding(DType dtype, int64_t vocabulary, int64_t width, DeviceBuffer table)
      : dtype_(dtype), vocabulary_(vocabulary), width_(width), table_(std::move(table)) {}
  // The rows of `linear`.
  explicit CpuEmbedding(const PackedLinear& linear)
      : dtype_(linear.act_dtype()),
        vocabulary_(linear.out_features()),
        width_(linear.in_features()),
        linear_(&linear) {}

  size_t bytes() const override { return table_.bytes(); }
  int64_t width() const { return width_; }

  void Read(const OpsKernels& kernels, int64_t token, float* out) const {
    QUIRE_CHECK(token >= 0 && token < vocabulary_) << token << " of " << vocabulary_;
    if (linear_ != nullptr) {
      kernels.unpack_column[linear_->is_bf16()](linear_->panel(token / kPanelColumns),
                                                token % kPanelColumns, width_, out);
      return;
    }
    const char* row = static_cast<const char*>(table_.data()) +
                      token * width_ * static_cast<int64_t>(DTypeBytes(dtype_));
    kernels.copy_row(row, ToElementType(dtype_), width_, out, ElementType::kFloat32);
  }

 private:
  DType dtype_;
  int64_t vocabulary_;
  int64_t width_;
  DeviceBuffer table_;
  const PackedLinear* linear_ = nullptr;
};

char* RowData(const DeviceMatrix& m, int64_t row) {
  return static_cast<char*>(m.data) +
         row * m.row_stride * static_cast<int64_t>(DTypeBytes(m.dtype));
}

class CpuOps : public Ops {
 public:
  CpuOps(ThreadPool& pool, DeviceMemory& memory, CpuIsa isa, const CpuOpsOptions& options)
      : pool_(pool),
        memory_(memory),
        kernels_(OpsKernelsFor(isa)),
        gemm_(isa, pool, memory, options.max_rows, options.use_onednn) {}

  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(const LinearSpec& spec) override {
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<PackedLinear> linear,
                           PackedLinear::Pack(spec, kernels_, pool_, memory_));
    QUIRE_RETURN_IF_ERROR(gemm_.Prepare(*linear));
    return linear;
  }

  absl::StatusOr<std::unique_ptr<Embedding>> MakeEmbedding(const WeightRows& table, int64_t width,
                                                           DType act_dtype) override {
    QUIRE_CHECK(act_dtype != DType::kFloat16);
    const size_t row_bytes = width * DTypeBytes(act_dtype);
    QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                           memory_.Allocate(table.out_features * row_bytes, "weights"));
    const size_t source_bytes = width * DTypeBytes(table.weight_dtype);
    const DeviceMatrix out{buffer.data(), act_dtype, table.out_features, width, width};
    ForRows(table.out_features, width, [&](int64_t begin, int64_t end) {
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

  void Embed(const Embedding& table, DeviceArray<const int32_t> token_ids,
             const DeviceMatrix& out) override {
    const auto& own = static_cast<const CpuEmbedding&>(table);
    CheckEmbed(own.width(), token_ids, out);
    // A tied row is gathered word by word from as many cache lines: small tasks.
    ForRows(out.rows, 16 * out.cols, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        own.Read(kernels_, token_ids.data[t], out.Row<float>(t));
      }
    });
  }

  void RmsNorm(const DeviceMatrix& x, const DeviceVector& weight, float eps,
               const DeviceMatrix& out) override {
    CheckRmsNorm(x, weight, out);
    Norm(x, nullptr, weight, eps, out);
  }

  void AddRmsNorm(const DeviceMatrix& residual, const DeviceMatrix& delta,
                  const DeviceVector& weight, float eps, const DeviceMatrix& out) override {
    CheckAddRmsNorm(residual, delta, weight, out);
    Norm(residual, &delta, weight, eps, out);
  }

  void Apply(const Linear& linear, const DeviceMatrix& x, const DeviceMatrix& y) override {
    const auto& own = static_cast<const PackedLinear&>(linear);
    CheckApply(own, own.act_dtype(), x, y);
    gemm_.Run(own, x, y);
  }

  void SiluMul(const DeviceMatrix& gate_up, const DeviceMatrix& out) override {
    CheckSiluMul(gate_up, out);
    ForRows(out.rows, 4 * out.cols, [&](int64_t begin, int64_t end) {
      kernels_.silu_mul({RowData(gate_up, begin), gate_up.row_stride, RowData(out, begin),
                         out.row_stride, ToElementType(out.dtype), end - begin, out.cols});
    });
  }

  void GatherRows(const DeviceMatrix& x, DeviceArray<const int32_t> rows,
                  const DeviceMatrix& out) override {
    CheckGatherRows(x, rows, out);
    for (int64_t r = 0; r < out.rows; ++r) {
      QUIRE_CHECK(rows.data[r] >= 0 && rows.data[r] < x.rows) << rows.data[r];
    }
    const size_t row_bytes = out.cols * DTypeBytes(out.dtype);
    ForRows(out.rows, out.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        std::memcpy(out.Rows(r, 1).data, x.Rows(rows.data[r], 1).data, row_bytes);
      }
    });
  }

 private:
  void Norm(const DeviceMatrix& x, const DeviceMatrix* delta, const DeviceVector& weight, float eps,
            const DeviceMatrix& out) {
    ForRows(x.rows, 2 * x.cols, [&](int64_t begin, int64_t end) {
      NormArgs args;
      args.x = x.Row<float>(begin);
      args.x_stride = x.row_stride;
      args.delta = delta == nullptr ? nullptr : RowData(*delta, begin);
      args.delta_stride = delta == nullptr ? 0 : delta->row_stride;
      args.delta_type = delta == nullptr ? ElementType::kFloat32 : ToElementType(delta->dtype);
      args.weight = weight.data();
      args.eps = eps;
      args.out = RowData(out, begin);
      args.out_stride = out.row_stride;
      args.out_type = ToElementType(out.dtype);
      args.rows = end - begin;
      args.width = x.cols;
      kernels_.rms_norm(args);
    });
  }

  // Calls body(begin, end) for ranges that cover [0, rows); `row_cost` is in elements of a simple
  // op. Few rows run on the caller alone.
  void ForRows(int64_t rows, int64_t row_cost, absl::FunctionRef<void(int64_t, int64_t)> body) {
    const int64_t per_task = std::max<int64_t>(1, kTaskElements / row_cost);
    const int64_t tasks = CeilDiv(rows, per_task);
    pool_.ParallelFor(tasks, [&](int64_t task, int /*thread*/) {
      body(task * per_task, std::min(rows, (task + 1) * per_task));
    });
  }

  ThreadPool& pool_;
  DeviceMemory& memory_;
  const OpsKernels& kernels_;
  Gemm gemm_;
};

}  // namespace

std::unique_ptr<Ops> MakeCpuOps(ThreadPool& pool, DeviceMemory& memory, CpuIsa isa,
                                const CpuOpsOptions& options) {
  return std::make_unique<CpuOps>(pool, memory, isa, options);
}

}  // namespace quire
