#include <memory>

#include "core/allocation_bytes.h"
#include "core/device_memory.h"
#include "ops/cuda/cuda_experts.h"
#include "ops/cuda/cuda_linear.h"
#include "ops/cuda/cuda_ops.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

size_t RowsBytes(int64_t rows, int64_t width, DType act_dtype) {
  return AllocationBytes(static_cast<size_t>(rows * CudaLinear::RowStride(width, act_dtype)) *
                         DTypeBytes(act_dtype));
}

class CudaWeightSizer : public WeightSizer {
 public:
  explicit CudaWeightSizer(int64_t max_rows) : max_rows_(max_rows) {}

 private:
  // Whether biases are held in bf16 too is in their numbers.
  size_t LinearBytes(const LinearSpec& spec) const override {
    const int64_t out_features = CheckLinearSpec(spec);
    size_t bytes = RowsBytes(out_features, spec.in_features, spec.act_dtype);
    if (!spec.has_bias()) return bytes;
    bytes += AllocationBytes(static_cast<size_t>(out_features) * sizeof(float));
    if (spec.act_dtype == DType::kBFloat16) {
      bytes += AllocationBytes(static_cast<size_t>(out_features) * sizeof(bf16));
    }
    return bytes;
  }

  size_t TableBytes(int64_t rows, int64_t width, DType act_dtype) const override {
    return RowsBytes(rows, width, act_dtype);
  }
  size_t ExpertsBytes(const ExpertsSpec& spec) const override {
    return AllocationBytes(CudaExperts::PointersBytes(spec));
  }
  size_t LinearWorkspaceBytes(const LinearSpec& /*spec*/) const override { return 0; }
  size_t ExpertsWorkspaceBytes(const ExpertsSpec& spec) const override {
    return AllocationBytes(CudaExpertsRunner::ScratchBytes(spec, max_rows_));
  }

  int64_t max_rows_;
};

}  // namespace

std::unique_ptr<WeightSizer> MakeCudaWeightSizer(int64_t max_rows) {
  return std::make_unique<CudaWeightSizer>(max_rows);
}

}  // namespace quire
