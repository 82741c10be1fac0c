#include "ops/cuda/cuda_experts.h"

#include <vector>

#include "core/check.h"
#include "core/status_macros.h"
#include "ops/cuda/gemm_args.h"
#include "ops/cuda/launch_gemm.h"
#include "ops/cuda/launch_moe.h"
#include "ops/cuda/launch_row_ops.h"
#include "ops/cuda/moe_args.h"
#include "ops/op_checks.h"

namespace quire {
namespace {

bool HasBiases(const std::vector<std::unique_ptr<Linear>>& linears) {
  return static_cast<const CudaLinear&>(*linears[0]).bias() != nullptr;
}

void AddPointers(const std::vector<std::unique_ptr<Linear>>& linears,
                 std::vector<const void*>& pointers) {
  for (const auto& linear : linears) {
    pointers.push_back(static_cast<const CudaLinear&>(*linear).weight().data);
  }
  for (const auto& linear : linears) {
    const float* const bias = static_cast<const CudaLinear&>(*linear).bias();
    QUIRE_CHECK_EQ(bias != nullptr, HasBiases(linears)) << "biases of some experts only";
    pointers.push_back(bias);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<CudaExperts>> CudaExperts::Create(ExpertsSpec spec,
                                                                 WeightUploader& uploader) {
  std::vector<const void*> pointers;
  AddPointers(spec.gate_up, pointers);
  AddPointers(spec.down, pointers);
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer, uploader.UploadArray(pointers));
  return std::unique_ptr<CudaExperts>(new CudaExperts(std::move(spec), std::move(buffer)));
}

size_t CudaExperts::bytes() const {
  size_t bytes = pointers_.bytes();
  for (const auto& linear : spec_.gate_up) bytes += linear->bytes();
  for (const auto& linear : spec_.down) bytes += linear->bytes();
  return bytes;
}

CudaExperts::Pointers CudaExperts::At(int list, const Linear& first) const {
  const auto& linear = static_cast<const CudaLinear&>(first);
  auto* const base = static_cast<const void**>(pointers_.data());
  const int64_t begin = int64_t{list} * num_experts();
  Pointers at{.weights = base + begin, .weight_stride = linear.weight().row_stride};
  if (linear.bias() != nullptr) {
    at.biases = reinterpret_cast<const float* const*>(base + begin + num_experts());
  }
  return at;
}

CudaExpertsRunner::Rows CudaExpertsRunner::Lay(const ExpertsSpec& spec, int64_t rows, char* base,
                                               size_t& bytes) {
  const DType act = spec.act_dtype;
  const auto num_experts = static_cast<int>(spec.gate_up.size());
  const int64_t hidden = spec.gate_up[0]->in_features();
  const int64_t ffn = spec.down[0]->in_features();
  const int64_t pairs = rows * spec.top_k;
  bytes = 0;
  const auto take = [&](int64_t count, size_t element) {
    constexpr size_t kAlignment = 256;
    char* const taken = base + bytes;
    bytes += (static_cast<size_t>(count) * element + kAlignment - 1) / kAlignment * kAlignment;
    return taken;
  };
  const auto matrix = [&](DType dtype, int64_t cols) {
    const int64_t stride = CudaLinear::RowStride(cols, dtype);
    return DeviceMatrix{take(pairs * stride, DTypeBytes(dtype)), dtype, pairs, cols, stride};
  };
  const auto ids = [&](int64_t count) {
    return reinterpret_cast<int32_t*>(take(count, sizeof(int32_t)));
  };
  Rows laid;
  laid.gate_up = matrix(act, 2 * ffn);
  laid.gated = matrix(act, ffn);
  laid.down = matrix(DType::kFloat32, hidden);
  laid.expert_start = ids(num_experts + 1);
  laid.source_row = ids(pairs);
  laid.place = ids(pairs);
  laid.counts = ids(SortPairsCounts(pairs, num_experts));
  return laid;
}

absl::Status CudaExpertsRunner::Prepare(const CudaExperts& experts) {
  const size_t bytes = ScratchBytes(experts.spec(), max_rows_);
  if (bytes <= scratch_.bytes()) return absl::OkStatus();
  scratch_ = DeviceBuffer();  // before the larger one is taken
  QUIRE_ASSIGN_OR_RETURN(scratch_, memory_.Allocate(bytes, "workspace"));
  return absl::OkStatus();
}

void CudaExpertsRunner::Run(const CudaExperts& experts, const DeviceMatrix& x,
                            DeviceArray<const int32_t> ids, const DeviceMatrix& weights,
                            const DeviceMatrix& out) {
  CheckApplyExperts(experts.spec(), x, ids, weights, out);
  QUIRE_CHECK_LE(x.rows, max_rows_);
  if (x.rows == 0) return;
  size_t bytes = 0;
  const Rows rows = Lay(experts.spec(), x.rows, static_cast<char*>(scratch_.data()), bytes);
  const int num_experts = experts.num_experts();
  const bool many = SortPairsCounts(ids.size, num_experts) > 0;
  cuda::SortPairs(queue_, {.ids = ids,
                           .top_k = experts.spec().top_k,
                           .num_experts = num_experts,
                           .counts = many ? rows.counts : nullptr,
                           .expert_start = rows.expert_start,
                           .source_row = rows.source_row,
                           .place = rows.place});
  const DeviceArray<const int32_t> starts{rows.expert_start, num_experts + 1};
  const auto multiply = [&](const CudaExperts::Pointers& of, const DeviceMatrix& in,
                            DeviceArray<const int32_t> source_row, const DeviceMatrix& y) {
    cuda::GroupedGemm(queue_, {.x = in,
                               .source_row = source_row,
                               .expert_start = starts,
                               .weights = of.weights,
                               .weight_stride = of.weight_stride,
                               .biases = of.biases,
                               .y = y});
  };
  multiply(experts.gate_up(), x, {rows.source_row, ids.size}, rows.gate_up);
  cuda::ActivateRows(queue_, {.activation = experts.spec().activation,
                              .gated = true,
                              .x = rows.gate_up,
                              .out = rows.gated});
  multiply(experts.down(), rows.gated, {}, rows.down);
  cuda::CombineExperts(
      queue_, {.y = rows.down, .weights = weights, .place = {rows.place, ids.size}, .out = out});
}

}  // namespace quire
