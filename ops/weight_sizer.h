// Counts what the weights of a model will take of a device, before any of them is read: a
// WeightMaker that keeps numbers alone. What loads a model runs with it as it does with a backend's
// ops, so that both take the same.
#ifndef QUIRE_OPS_WEIGHT_SIZER_H_
#define QUIRE_OPS_WEIGHT_SIZER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "ops/weight_maker.h"

namespace quire {

class WeightSizer : public WeightMaker {
 public:
  // Bytes of what was made; at most so many are taken for it.
  size_t weight_bytes() const { return weight_bytes_; }
  // Of the scratch memory that its products and experts share.
  size_t workspace_bytes() const { return linear_workspace_bytes_ + experts_workspace_bytes_; }

  // Of the specs' rows only the shapes count, and where there are biases; none is read.
  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(const LinearSpec& spec) override;
  absl::StatusOr<std::unique_ptr<Embedding>> MakeEmbedding(const WeightRows& table, int64_t width,
                                                           DType act_dtype) override;
  std::unique_ptr<Embedding> TieEmbedding(const Linear& linear) override;
  absl::StatusOr<DeviceVector> MakeVector(absl::Span<const float> values) override;
  absl::StatusOr<std::unique_ptr<Experts>> MakeExperts(ExpertsSpec spec) override;

 protected:
  // What the backend's ops take, at most.
  virtual size_t LinearBytes(const LinearSpec& spec) const = 0;
  virtual size_t TableBytes(int64_t rows, int64_t width, DType act_dtype) const = 0;
  // Beside its linears.
  virtual size_t ExpertsBytes(const ExpertsSpec& spec) const = 0;
  // Of one of them alone.
  virtual size_t LinearWorkspaceBytes(const LinearSpec& spec) const = 0;
  virtual size_t ExpertsWorkspaceBytes(const ExpertsSpec& spec) const = 0;

 private:
  size_t weight_bytes_ = 0;
  size_t linear_workspace_bytes_ = 0;
  size_t experts_workspace_bytes_ = 0;
};

}  // namespace quire

#endif  // QUIRE_OPS_WEIGHT_SIZER_H_
