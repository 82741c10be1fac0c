#include "ops/cpu/cpu_experts.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/check.h"
#include "core/cpu/element_type_of.h"
#include "core/status_macros.h"
#include "ops/cpu/row_tasks.h"

namespace quire {

size_t CpuExperts::bytes() const {
  size_t bytes = 0;
  for (const auto& linear : spec_.gate_up) bytes += linear->bytes();
  for (const auto& linear : spec_.down) bytes += linear->bytes();
  return bytes;
}

ExpertsRunner::Rows ExpertsRunner::Lay(const ExpertsSpec& spec, int64_t rows, char* base,
                                       size_t& bytes) {
  bytes = 0;
  const auto matrix = [&](DType dtype, int64_t cols) {
    const DeviceMatrix made{base + bytes, dtype, rows, cols, cols};
    bytes += (static_cast<size_t>(rows * cols) * DTypeBytes(dtype) + 63) / 64 * 64;
    return made;
  };
  const DType act = spec.act_dtype;
  const int64_t hidden = spec.gate_up[0]->in_features();
  const int64_t ffn = spec.down[0]->in_features();
  Rows made;
  made.gated = matrix(act, ffn);
  const size_t shared = bytes;
  made.x = matrix(act, hidden);
  made.gate_up = matrix(act, 2 * ffn);
  const size_t end = bytes;
  bytes = shared;
  made.down = matrix(DType::kFloat32, hidden);
  bytes = std::max(bytes, end);
  return made;
}

absl::Status ExpertsRunner::Prepare(const CpuExperts& experts) {
  const ExpertsSpec& spec = experts.spec();
  for (const auto* linears : {&spec.gate_up, &spec.down}) {
    for (const auto& linear : *linears) {
      QUIRE_CHECK(static_cast<const PackedLinear&>(*linear).act_dtype() == spec.act_dtype);
    }
  }
  const int64_t rows = max_rows_ * spec.top_k;
  const size_t bytes = ScratchBytes(spec, max_rows_);
  if (bytes > scratch_.bytes()) {
    scratch_ = DeviceBuffer();
    QUIRE_ASSIGN_OR_RETURN(scratch_, memory_.Allocate(bytes, "workspace"));
  }
  begins_.reserve(spec.gate_up.size() + 1);
  products_.reserve(spec.gate_up.size());
  positions_.reserve(rows);
  return absl::OkStatus();
}

void ExpertsRunner::Run(const CpuExperts& experts, const DeviceMatrix& x,
                        DeviceArray<const int32_t> ids, const DeviceMatrix& weights,
                        const DeviceMatrix& out) {
  QUIRE_CHECK_LE(x.rows, max_rows_);
  const ExpertsSpec& spec = experts.spec();
  size_t bytes = 0;
  const Rows rows = Lay(spec, ids.size, static_cast<char*>(scratch_.data()), bytes);
  Sort(ids, spec.gate_up.size());
  GatherRows(x, spec.top_k, rows.x);
  Multiply(spec.gate_up, rows.x, rows.gate_up);
  Activate(spec.activation, rows.gate_up, rows.gated);
  Multiply(spec.down, rows.gated, rows.down);
  Combine(rows.down, weights, out);
}

void ExpertsRunner::Sort(DeviceArray<const int32_t> ids, size_t num_experts) {
  begins_.assign(num_experts + 1, 0);
  positions_.resize(ids.size);
  for (int64_t i = 0; i < ids.size; ++i) ++begins_[ids.data[i] + 1];
  for (size_t expert = 0; expert < num_experts; ++expert) begins_[expert + 1] += begins_[expert];
  for (int64_t i = 0; i < ids.size; ++i) {
    positions_[i] = static_cast<int32_t>(begins_[ids.data[i]]++);
  }
  // Each begin is the next one's now.
  for (size_t expert = num_experts; expert > 0; --expert) begins_[expert] = begins_[expert - 1];
  begins_[0] = 0;
}

void ExpertsRunner::GatherRows(const DeviceMatrix& x, int64_t top_k, const DeviceMatrix& sorted) {
  const size_t row_bytes = x.cols * DTypeBytes(x.dtype);
  ForRows(pool_, sorted.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(RowData(sorted, positions_[i]), RowData(x, i / top_k), row_bytes);
    }
  });
}

void ExpertsRunner::Multiply(const std::vector<std::unique_ptr<Linear>>& linears,
                             const DeviceMatrix& x, const DeviceMatrix& y) {
  products_.clear();
  for (size_t expert = 0; expert < linears.size(); ++expert) {
    const int64_t begin = begins_[expert];
    const int64_t count = begins_[expert + 1] - begin;
    if (count == 0) continue;
    products_.push_back({linears[expert].get(), x.Rows(begin, count), y.Rows(begin, count)});
  }
  gemm_.Run(products_);
}

void ExpertsRunner::Activate(const ActivationParams& activation, const DeviceMatrix& gate_up,
                             const DeviceMatrix& out) {
  ForRows(pool_, out.rows, 4 * out.cols, [&](int64_t begin, int64_t end) {
    kernels_.activate({activation, true, RowData(gate_up, begin), gate_up.row_stride,
                       RowData(out, begin), out.row_stride, ToElementType(out.dtype), end - begin,
                       out.cols});
  });
}

void ExpertsRunner::Combine(const DeviceMatrix& down, const DeviceMatrix& weights,
                            const DeviceMatrix& out) {
  const int64_t top_k = weights.cols;
  ForRows(pool_, out.rows, top_k * out.cols, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      kernels_.combine({static_cast<const float*>(down.data), down.row_stride,
                        positions_.data() + t * top_k, weights.Row<float>(t),
                        static_cast<int>(top_k), out.Row<float>(t), out.cols});
    }
  });
}

}  // namespace quire
