// The token tables of the CPU backend.
#ifndef QUIRE_OPS_CPU_CPU_EMBEDDING_H_
#define QUIRE_OPS_CPU_CPU_EMBEDDING_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/check.h"
#include "core/cpu/element_type_of.h"
#include "ops/cpu/ops_kernel_table.h"
#include "ops/cpu/packed_linear.h"
#include "ops/ops.h"

namespace quire {

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

  void Read(const OpsKernels& kernels, int64_t token, EmbedOptions options, float* out) const {
    QUIRE_CHECK(token >= 0 && token < vocabulary_) << token << " of " << vocabulary_;
    const EmbedRowArgs args{options.scale, options.accumulate, width_, out};
    if (linear_ != nullptr) {
      kernels.embed_column[linear_->is_bf16()](linear_->panel(token / kPanelColumns),
                                               token % kPanelColumns, args);
      return;
    }
    const char* row = static_cast<const char*>(table_.data()) +
                      token * width_ * static_cast<int64_t>(DTypeBytes(dtype_));
    kernels.embed_row(row, ToElementType(dtype_), args);
  }

 private:
  DType dtype_;
  int64_t vocabulary_;
  int64_t width_;
  DeviceBuffer table_;
  const PackedLinear* linear_ = nullptr;
};

}  // namespace quire

#endif  // QUIRE_OPS_CPU_CPU_EMBEDDING_H_
