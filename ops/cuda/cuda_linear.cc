#include "ops/cuda/cuda_linear.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/ceil_div.h"
#include "core/cpu/element_type_of.h"
#include "core/elements.h"
#include "core/status_macros.h"
#include "ops/cpu/ops_kernel_table.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

// That a task writes: long against its start, short against a piece.
constexpr int64_t kTaskBytes = int64_t{256} << 10;

std::vector<float> Biases(const LinearSpec& spec, int64_t out_features) {
  std::vector<float> biases(out_features);
  auto out = biases.begin();
  for (const WeightRows& part : spec.parts) {
    for (int64_t i = 0; part.bias != nullptr && i < part.out_features; ++i) {
      out[i] = LoadElement(part.bias, part.bias_dtype, i * part.bias_stride);
    }
    out += part.out_features;
  }
  return biases;
}

std::vector<bf16> Rounded(const std::vector<float>& values) {
  std::vector<bf16> rounded(values.size());
  std::transform(values.begin(), values.end(), rounded.begin(), ToBf16);
  return rounded;
}

bool IsSame(const std::vector<bf16>& rounded, const std::vector<float>& values) {
  return std::equal(values.begin(), values.end(), rounded.begin(),
                    [](float value, bf16 other) { return value == ToFloat(other); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<CudaLinear>> WeightUploader::Upload(const LinearSpec& spec) {
  const int64_t out_features = CheckLinearSpec(spec);
  const int64_t row_bytes = CudaLinear::RowStride(spec.in_features, spec.act_dtype) *
                            static_cast<int64_t>(DTypeBytes(spec.act_dtype));
  QUIRE_ASSIGN_OR_RETURN(
      DeviceBuffer weight,
      memory_.Allocate(static_cast<size_t>(out_features * row_bytes), "weights"));
  auto* at = static_cast<char*>(weight.data());
  for (const WeightRows& part : spec.parts) {
    QUIRE_RETURN_IF_ERROR(CopyPart(part, spec.in_features, spec.act_dtype, at));
    at += part.out_features * row_bytes;
  }
  DeviceBuffer bias;
  DeviceBuffer act_bias;
  if (spec.has_bias()) {
    const std::vector<float> biases = Biases(spec, out_features);
    QUIRE_ASSIGN_OR_RETURN(bias, UploadArray(biases));
    const std::vector<bf16> rounded = Rounded(biases);
    if (spec.act_dtype == DType::kBFloat16 && IsSame(rounded, biases)) {
      QUIRE_ASSIGN_OR_RETURN(act_bias, UploadArray(rounded));
    }
  }
  return std::make_unique<CudaLinear>(spec.in_features, out_features, spec.act_dtype,
                                      std::move(weight), std::move(bias), std::move(act_bias));
}

absl::StatusOr<DeviceBuffer> WeightUploader::UploadTable(const WeightRows& table, int64_t width,
                                                         DType act_dtype) {
  const int64_t row_bytes =
      CudaLinear::RowStride(width, act_dtype) * static_cast<int64_t>(DTypeBytes(act_dtype));
  QUIRE_ASSIGN_OR_RETURN(
      DeviceBuffer buffer,
      memory_.Allocate(static_cast<size_t>(table.out_features * row_bytes), "weights"));
  QUIRE_RETURN_IF_ERROR(CopyPart(table, width, act_dtype, static_cast<char*>(buffer.data())));
  return buffer;
}

absl::StatusOr<DeviceBuffer> WeightUploader::UploadBytes(const void* host, size_t bytes) {
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer, memory_.Allocate(bytes, "weights"));
  QUIRE_RETURN_IF_ERROR(copies_.Copy(buffer.data(), host, bytes));
  return buffer;
}

absl::Status WeightUploader::CopyPart(const WeightRows& part, int64_t width, DType act_dtype,
                                      char* device) {
  const int64_t row_bytes =
      CudaLinear::RowStride(width, act_dtype) * static_cast<int64_t>(DTypeBytes(act_dtype));
  for (int64_t row = 0; row < part.out_features;) {
    QUIRE_ASSIGN_OR_RETURN(const StagedCopies::Room room,
                           copies_.Take(row_bytes, part.out_features - row));
    Stage(part, width, act_dtype, row, room.count, room.data);
    copies_.Send(device + row * row_bytes, room);
    row += room.count;
  }
  return absl::OkStatus();
}

void WeightUploader::Stage(const WeightRows& part, int64_t width, DType act_dtype, int64_t begin,
                           int64_t count, char* staging) {
  const OpsKernels& kernels = OpsKernelsFor(isa_);
  const int64_t stride = CudaLinear::RowStride(width, act_dtype);
  const auto element = static_cast<int64_t>(DTypeBytes(act_dtype));
  const ElementType from = ToElementType(part.weight_dtype);
  const bool is_bf16 = act_dtype == DType::kBFloat16;
  const int64_t task_rows = std::max<int64_t>(1, kTaskBytes / (stride * element));
  pool_.ParallelFor(CeilDiv(count, task_rows), [&](int64_t task, int /*thread*/) {
    const int64_t first = task * task_rows;
    const int64_t rows = std::min(task_rows, count - first);
    char* const out = staging + first * stride * element;
    for (int64_t row = 0; row < rows && stride > width; ++row) {
      std::memset(out + (row * stride + width) * element, 0, (stride - width) * element);
    }
    if (!part.is_plain()) {
      kernels.expand[is_bf16]({part.weight, from, part.RowStride(width), part.col_stride,
                               part.mxfp4_scales, begin + first, 0, rows, width, out, stride});
      return;
    }
    const int64_t source_bytes =
        part.RowStride(width) * static_cast<int64_t>(DTypeBytes(part.weight_dtype));
    for (int64_t row = 0; row < rows; ++row) {
      kernels.copy_row(static_cast<const char*>(part.weight) + (begin + first + row) * source_bytes,
                       from, width, out + row * stride * element, ToElementType(act_dtype));
    }
  });
}

}  // namespace quire
