#include "ops/cpu/packed_linear.h"

#include <algorithm>
#include <vector>

#include "core/cpu/element_type_of.h"
#include "core/elements.h"
#include "core/status_macros.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

// Columns of a panel that are expanded at a time: the block stays in L2. It is a multiple of what K
// is padded to and of MXFP4's blocks.
constexpr int64_t kExpandedColumns = 1024;

// K is padded to 16 steps of 4 bytes.
constexpr int64_t kPaddedSteps = 16;

int64_t PaddedFeatures(int64_t in_features, DType dtype) {
  const int64_t unit = kPaddedSteps * 4 / static_cast<int64_t>(DTypeBytes(dtype));
  return CeilDiv(in_features, unit) * unit;
}

}  // namespace

PackedLinear::PackedLinear(const LinearSpec& spec, int64_t out_features)
    : Linear(spec.in_features, out_features),
      act_dtype_(spec.act_dtype),
      padded_features_(PaddedFeatures(spec.in_features, spec.act_dtype)) {}

std::unique_ptr<PackedLinear> PackedLinear::Shape(const LinearSpec& spec) {
  return std::unique_ptr<PackedLinear>(new PackedLinear(spec, CheckLinearSpec(spec)));
}

absl::StatusOr<std::unique_ptr<PackedLinear>> PackedLinear::Pack(const LinearSpec& spec,
                                                                 const OpsKernels& kernels,
                                                                 ThreadPool& pool,
                                                                 DeviceMemory& memory) {
  std::unique_ptr<PackedLinear> linear = Shape(spec);
  QUIRE_ASSIGN_OR_RETURN(linear->weight_, memory.Allocate(linear->weight_bytes(), "weights"));
  if (spec.has_bias()) {
    QUIRE_ASSIGN_OR_RETURN(linear->bias_,
                           memory.Allocate(linear->out_features() * sizeof(float), "weights"));
    linear->FillBias(spec);
  }
  linear->PackPanels(spec, kernels, pool);
  return linear;
}

void PackedLinear::FillBias(const LinearSpec& spec) {
  auto* out = static_cast<float*>(bias_.data());  // zeroed
  for (const WeightRows& part : spec.parts) {
    for (int64_t i = 0; part.bias != nullptr && i < part.out_features; ++i) {
      out[i] = LoadElement(part.bias, part.bias_dtype, i * part.bias_stride);
    }
    out += part.out_features;
  }
}

void PackedLinear::PackPanels(const LinearSpec& spec, const OpsKernels& kernels, ThreadPool& pool) {
  const bool expands = std::any_of(spec.parts.begin(), spec.parts.end(),
                                   [](const WeightRows& part) { return !part.is_plain(); });
  constexpr int64_t kRoom = kPanelColumns * kExpandedColumns;  // of a thread
  std::vector<float> expanded(expands ? pool.num_threads() * kRoom : 0);
  pool.ParallelFor(num_panels(), [&](int64_t panel, int thread) {
    PackPanel(spec, kernels, panel, expands ? expanded.data() + thread * kRoom : nullptr);
  });
}

void PackedLinear::PackPanel(const LinearSpec& spec, const OpsKernels& kernels, int64_t index,
                             float* expanded) {
  const int64_t step = expanded == nullptr ? in_features() : kExpandedColumns;
  const auto element = static_cast<int64_t>(DTypeBytes(act_dtype_));
  for (int64_t col = 0; col < in_features(); col += step) {
    const int64_t cols = std::min(step, in_features() - col);
    const bool last = col + cols == in_features();
    const void* rows[kPanelColumns];
    ElementType types[kPanelColumns];
    const int64_t count = PanelRows(spec, kernels, index, {col, cols}, expanded, rows, types);
    kernels.pack_panel[is_bf16()](
        {rows, types, count, cols, last ? padded_features_ - col : cols,
         static_cast<char*>(panel(index)) + col * kPanelColumns * element});
  }
}

int64_t PackedLinear::PanelRows(const LinearSpec& spec, const OpsKernels& kernels, int64_t index,
                                Columns columns, float* expanded, const void** rows,
                                ElementType* types) const {
  int64_t count = 0;
  int64_t row = index * kPanelColumns;  // within the parts from `part` on
  for (const WeightRows& part : spec.parts) {
    const int64_t some = std::min(part.out_features - row, kPanelColumns - count);
    if (some > 0) {
      const int64_t stride = part.RowStride(in_features());
      const char* source = static_cast<const char*>(part.weight);
      int64_t bytes = static_cast<int64_t>(DTypeBytes(part.weight_dtype));
      int64_t source_stride = stride;
      ElementType type = ToElementType(part.weight_dtype);
      if (part.is_plain()) {
        source += (row * stride + columns.begin) * bytes;
      } else {
        float* out = expanded + count * kExpandedColumns;
        kernels.expand[is_bf16()]({part.weight, type, stride, part.col_stride, part.mxfp4_scales,
                                   row, columns.begin, some, columns.count, out, kExpandedColumns});
        source = reinterpret_cast<const char*>(out);
        bytes = static_cast<int64_t>(DTypeBytes(act_dtype_));
        source_stride = kExpandedColumns;
        type = ToElementType(act_dtype_);
      }
      for (int64_t i = 0; i < some; ++i, ++count) {
        rows[count] = source + i * source_stride * bytes;
        types[count] = type;
      }
    }
    row = std::max<int64_t>(0, row - part.out_features);
    if (count == kPanelColumns) break;
  }
  return count;
}

}  // namespace quire
