// The weights of a Linear as the CPU kernels read them; the layout is in kernels/ops_kernels.h.
#ifndef QUIRE_OPS_CPU_PACKED_LINEAR_H_
#define QUIRE_OPS_CPU_PACKED_LINEAR_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "core/ceil_div.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"
#include "ops/cpu/ops_kernel_table.h"
#include "ops/ops.h"

namespace quire {

class PackedLinear : public Linear {
 public:
  // Reads each source row once, in order, from all threads of the pool at once; transposed sources
  // by columns of 64 numbers.
  static absl::StatusOr<std::unique_ptr<PackedLinear>> Pack(const LinearSpec& spec,
                                                            const OpsKernels& kernels,
                                                            ThreadPool& pool, DeviceMemory& memory);

  // Nothing but its sizes.
  static std::unique_ptr<PackedLinear> Shape(const LinearSpec& spec);

  size_t bytes() const override { return weight_.bytes() + bias_.bytes(); }

  DType act_dtype() const { return act_dtype_; }
  bool is_bf16() const { return act_dtype_ == DType::kBFloat16; }
  int64_t padded_features() const { return padded_features_; }
  int64_t num_panels() const { return CeilDiv(out_features(), kPanelColumns); }
  size_t panel_bytes() const {
    return static_cast<size_t>(padded_features_ * kPanelColumns) * DTypeBytes(act_dtype_);
  }
  size_t weight_bytes() const { return static_cast<size_t>(num_panels()) * panel_bytes(); }
  void* panel(int64_t index) const {
    return static_cast<char*>(weight_.data()) + static_cast<size_t>(index) * panel_bytes();
  }
  // [N] fp32, or null where no part has a bias.
  const float* bias() const { return static_cast<const float*>(bias_.data()); }

 private:
  PackedLinear(const LinearSpec& spec, int64_t out_features);
  struct Columns {
    int64_t begin;
    int64_t count;
  };

  void FillBias(const LinearSpec& spec);
  void PackPanels(const LinearSpec& spec, const OpsKernels& kernels, ThreadPool& pool);
  // `expanded` has room for the rows that are not plain, or is null where all are.
  void PackPanel(const LinearSpec& spec, const OpsKernels& kernels, int64_t index, float* expanded);
  // Fills in where the rows of a panel stand, from columns.begin on, and their types; rows that are
  // not plain are expanded first. Returns their number.
  int64_t PanelRows(const LinearSpec& spec, const OpsKernels& kernels, int64_t index,
                    Columns columns, float* expanded, const void** rows, ElementType* types) const;

  DType act_dtype_;
  int64_t padded_features_;
  DeviceBuffer weight_;
  DeviceBuffer bias_;
};

}  // namespace quire

#endif  // QUIRE_OPS_CPU_PACKED_LINEAR_H_
