#include "ops/weight_sizer.h"

#include <algorithm>

#include "core/allocation_bytes.h"
#include "core/device_memory.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

class SizedLinear : public Linear {
 public:
  SizedLinear(int64_t in_features, int64_t out_features, size_t bytes)
      : Linear(in_features, out_features), bytes_(bytes) {}
  size_t bytes() const override { return bytes_; }

 private:
  size_t bytes_;
};

class SizedEmbedding : public Embedding {
 public:
  explicit SizedEmbedding(size_t bytes) : bytes_(bytes) {}
  size_t bytes() const override { return bytes_; }

 private:
  size_t bytes_;
};

class SizedExperts : public Experts {
 public:
  explicit SizedExperts(size_t bytes) : bytes_(bytes) {}
  size_t bytes() const override { return bytes_; }

 private:
  size_t bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Linear>> WeightSizer::MakeLinear(const LinearSpec& spec) {
  const size_t bytes = LinearBytes(spec);
  weight_bytes_ += bytes;
  linear_workspace_bytes_ = std::max(linear_workspace_bytes_, LinearWorkspaceBytes(spec));
  return std::make_unique<SizedLinear>(spec.in_features, CheckLinearSpec(spec), bytes);
}

absl::StatusOr<std::unique_ptr<Embedding>> WeightSizer::MakeEmbedding(const WeightRows& table,
                                                                      int64_t width,
                                                                      DType act_dtype) {
  const size_t bytes = TableBytes(table.out_features, width, act_dtype);
  weight_bytes_ += bytes;
  return std::make_unique<SizedEmbedding>(bytes);
}

std::unique_ptr<Embedding> WeightSizer::TieEmbedding(const Linear& /*linear*/) {
  return std::make_unique<SizedEmbedding>(0);
}

absl::StatusOr<DeviceVector> WeightSizer::MakeVector(absl::Span<const float> values) {
  weight_bytes_ += AllocationBytes(values.size() * sizeof(float));
  return DeviceVector();
}

absl::StatusOr<std::unique_ptr<Experts>> WeightSizer::MakeExperts(ExpertsSpec spec) {
  const size_t bytes = ExpertsBytes(spec);
  weight_bytes_ += bytes;
  experts_workspace_bytes_ = std::max(experts_workspace_bytes_, ExpertsWorkspaceBytes(spec));
  return std::make_unique<SizedExperts>(bytes);
}

}  // namespace quire
