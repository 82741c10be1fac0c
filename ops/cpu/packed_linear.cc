#include "ops/cpu/packed_linear.h"

#include <algorithm>

#include "core/check.h"
#include "core/cpu/element_type_of.h"
#include "core/status_macros.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

// K is padded to 16 steps of 4 bytes.
constexpr int64_t kPaddedSteps = 16;

int64_t PaddedFeatures(int64_t in_features, DType dtype) {
  const int64_t unit = kPaddedSteps * 4 / static_cast<int64_t>(DTypeBytes(dtype));
  return CeilDiv(in_features, unit) * unit;
}

bool HasBias(const LinearSpec& spec) {
  return std::any_of(spec.parts.begin(), spec.parts.end(),
                     [](const WeightRows& part) { return part.bias != nullptr; });
}

}  // namespace

PackedLinear::PackedLinear(const LinearSpec& spec, int64_t out_features)
    : Linear(spec.in_features, out_features),
      act_dtype_(spec.act_dtype),
      padded_features_(PaddedFeatures(spec.in_features, spec.act_dtype)) {}

absl::StatusOr<std::unique_ptr<PackedLinear>> PackedLinear::Pack(const LinearSpec& spec,
                                                                 const OpsKernels& kernels,
                                                                 ThreadPool& pool,
                                                                 DeviceMemory& memory) {
  std::unique_ptr<PackedLinear> linear(new PackedLinear(spec, CheckLinearSpec(spec)));
  QUIRE_ASSIGN_OR_RETURN(
      linear->weight_,
      memory.Allocate(static_cast<size_t>(linear->num_panels()) * linear->panel_bytes(),
                      "weights"));
  if (HasBias(spec)) {
    QUIRE_ASSIGN_OR_RETURN(linear->bias_,
                           memory.Allocate(linear->out_features() * sizeof(float), "weights"));
    linear->FillBias(spec, kernels);
  }
  linear->PackPanels(spec, kernels, pool);
  return linear;
}

void PackedLinear::FillBias(const LinearSpec& spec, const OpsKernels& kernels) {
  auto* out = static_cast<float*>(bias_.data());  // zeroed
  for (const WeightRows& part : spec.parts) {
    if (part.bias != nullptr) {
      kernels.copy_row(part.bias, ToElementType(part.bias_dtype), part.out_features, out,
                       ElementType::kFloat32);
    }
    out += part.out_features;
  }
}

void PackedLinear::PackPanels(const LinearSpec& spec, const OpsKernels& kernels, ThreadPool& pool) {
  pool.ParallelFor(num_panels(), [&](int64_t task, int /*thread*/) {
    const void* rows[kPanelColumns];
    ElementType types[kPanelColumns];
    int64_t count = 0;
    int64_t row = task * kPanelColumns;  // within the parts from `part` on
    for (const WeightRows& part : spec.parts) {
      const int64_t row_bytes =
          spec.in_features * static_cast<int64_t>(DTypeBytes(part.weight_dtype));
      for (; row < part.out_features && count < kPanelColumns; ++row, ++count) {
        rows[count] = static_cast<const char*>(part.weight) + row * row_bytes;
        types[count] = ToElementType(part.weight_dtype);
      }
      row -= part.out_features;
      if (count == kPanelColumns) break;
    }
    kernels.pack_panel[is_bf16()](
        {rows, types, count, spec.in_features, padded_features_, panel(task)});
  });
}

}  // namespace quire
