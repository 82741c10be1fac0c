#include <memory>
#include <utility>

#include "core/device_memory.h"
#include "ops/cpu/cpu_experts.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/gemm.h"
#include "ops/cpu/packed_linear.h"

namespace quire {
namespace {

class CpuWeightSizer : public WeightSizer {
 public:
  CpuWeightSizer(ThreadPool& pool, DeviceMemory& memory, CpuIsa isa, const CpuOpsOptions& options)
      : max_rows_(options.max_rows),
        gemm_(isa, pool, memory, options.max_rows, options.use_onednn) {}

 private:
  size_t LinearBytes(const LinearSpec& spec) const override {
    const auto shape = PackedLinear::Shape(spec);
    const size_t bias = spec.has_bias() ? shape->out_features() * sizeof(float) : 0;
    return shape->weight_bytes() + bias;
  }
  size_t TableBytes(int64_t rows, int64_t width, DType act_dtype) const override {
    return static_cast<size_t>(rows * width) * DTypeBytes(act_dtype);
  }
  size_t ExpertsBytes(const ExpertsSpec& /*spec*/) const override { return 0; }
  size_t LinearWorkspaceBytes(const LinearSpec& spec) const override {
    return gemm_.WorkspaceBytes(*PackedLinear::Shape(spec));
  }
  size_t ExpertsWorkspaceBytes(const ExpertsSpec& spec) const override {
    return ExpertsRunner::ScratchBytes(spec, max_rows_);
  }

  int64_t max_rows_;
  Gemm gemm_;  // asked for its sizes alone
};

}  // namespace

std::unique_ptr<WeightSizer> MakeCpuWeightSizer(ThreadPool& pool, DeviceMemory& memory, CpuIsa isa,
                                                const CpuOpsOptions& options) {
  return std::make_unique<CpuWeightSizer>(pool, memory, isa, options);
}

}  // namespace quire
