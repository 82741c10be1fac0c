#include "ops/op_checks.h"

#include <algorithm>

#include "core/check.h"

namespace quire {
namespace {

void CheckIsAct(const DeviceMatrix& m) { QUIRE_CHECK(m.dtype != DType::kFloat16); }

void CheckIsFloat(const DeviceMatrix& m) {
  QUIRE_CHECK_EQ(static_cast<int>(m.dtype), static_cast<int>(DType::kFloat32));
}

// Rows may lie apart but not overlap; a single row needs no stride.
void CheckRows(const DeviceMatrix& m) {
  QUIRE_CHECK_GE(m.rows, 0);
  if (m.rows > 1) QUIRE_CHECK_GE(m.row_stride, m.cols);
}

void CheckSameShape(const DeviceMatrix& a, const DeviceMatrix& b) {
  QUIRE_CHECK_EQ(a.rows, b.rows);
  QUIRE_CHECK_EQ(a.cols, b.cols);
  CheckRows(a);
  CheckRows(b);
}

void CheckNorm(const Norm& norm, int64_t width) {
  if (norm.weight.size() != 0) QUIRE_CHECK_EQ(norm.weight.size(), width);
  if (norm.bias.size() != 0) QUIRE_CHECK_EQ(norm.bias.size(), width);
}

}  // namespace

void CheckEmbed(int64_t width, DeviceArray<const int32_t> ids, const DeviceMatrix& out) {
  CheckIsFloat(out);
  CheckRows(out);
  QUIRE_CHECK_EQ(out.cols, width);
  QUIRE_CHECK_EQ(out.rows, ids.size);
}

void CheckNormalise(const DeviceMatrix& x, const Norm& norm, const DeviceMatrix& out) {
  CheckIsAct(x);
  CheckIsAct(out);
  CheckSameShape(x, out);
  CheckNorm(norm, x.cols);
}

void CheckAddNormalise(const AddNormaliseArgs& args) {
  CheckNormalise(args.residual, args.norm, args.out);
  CheckIsFloat(args.residual);
  CheckIsAct(args.delta);
  CheckSameShape(args.residual, args.delta);
}

void CheckApply(const Linear& linear, DType act_dtype, const DeviceMatrix& x,
                const DeviceMatrix& y) {
  QUIRE_CHECK_EQ(static_cast<int>(x.dtype), static_cast<int>(act_dtype));
  QUIRE_CHECK(y.dtype == act_dtype || y.dtype == DType::kFloat32);
  QUIRE_CHECK_EQ(x.cols, linear.in_features());
  QUIRE_CHECK_EQ(y.cols, linear.out_features());
  QUIRE_CHECK_EQ(x.rows, y.rows);
  CheckRows(x);
  CheckRows(y);
}

void CheckGatedActivation(const DeviceMatrix& gate_up, const DeviceMatrix& out) {
  CheckIsAct(gate_up);
  QUIRE_CHECK(gate_up.dtype == out.dtype);
  QUIRE_CHECK_EQ(gate_up.cols, 2 * out.cols);
  QUIRE_CHECK_EQ(gate_up.rows, out.rows);
  CheckRows(gate_up);
  CheckRows(out);
}

void CheckActivate(const ActivationParams& activation, const DeviceMatrix& x,
                   const DeviceMatrix& out) {
  QUIRE_CHECK(activation.kind != Activation::kClampedSwiglu) << "it needs a gate";
  CheckIsAct(x);
  QUIRE_CHECK(x.dtype == out.dtype);
  CheckSameShape(x, out);
}

void CheckAddTo(const DeviceMatrix& x, const DeviceMatrix& out) {
  CheckIsAct(x);
  CheckIsFloat(out);
  CheckSameShape(x, out);
}

void CheckAddSigmoidGated(const DeviceMatrix& x, const DeviceMatrix& gate,
                          const DeviceMatrix& out) {
  CheckAddTo(x, out);
  CheckIsAct(gate);
  CheckRows(gate);
  QUIRE_CHECK_EQ(gate.rows, x.rows);
  QUIRE_CHECK_EQ(gate.cols, 1);
}

void CheckSoftcapLogits(const DeviceMatrix& logits, float cap) {
  CheckIsFloat(logits);
  CheckRows(logits);
  QUIRE_CHECK_GE(cap, 0.0F);
}

void CheckRoute(const RouterParams& params, const DeviceMatrix& logits, DeviceArray<int32_t> ids,
                const DeviceMatrix& weights) {
  QUIRE_CHECK_GT(params.top_k, 0);
  QUIRE_CHECK_LE(params.top_k, kMaxTopK);
  QUIRE_CHECK_LE(params.num_experts, kMaxExperts);
  QUIRE_CHECK_GT(params.top_groups, 0);
  QUIRE_CHECK_LE(params.top_groups, kMaxTopK);
  QUIRE_CHECK_LE(params.top_groups, params.num_groups);
  QUIRE_CHECK_EQ(params.num_experts % params.num_groups, 0);
  const int group = params.num_experts / params.num_groups;
  QUIRE_CHECK_LE(params.top_k, params.top_groups * group);
  if (params.num_groups > 1 && params.group_score == GroupScore::kTopTwoSum) {
    QUIRE_CHECK_GE(group, 2);
  }
  if (params.correction_bias.size() != 0) {
    QUIRE_CHECK_EQ(params.correction_bias.size(), params.num_experts);
  }
  CheckIsFloat(logits);
  CheckIsFloat(weights);
  CheckRows(logits);
  CheckRows(weights);
  QUIRE_CHECK_EQ(logits.cols, params.num_experts);
  QUIRE_CHECK_EQ(weights.rows, logits.rows);
  QUIRE_CHECK_EQ(weights.cols, params.top_k);
  QUIRE_CHECK_EQ(ids.size, logits.rows * params.top_k);
}

void CheckExpertsSpec(const ExpertsSpec& spec) {
  const auto num_experts = static_cast<int>(spec.gate_up.size());
  QUIRE_CHECK_GT(num_experts, 0);
  QUIRE_CHECK_LE(num_experts, kMaxExperts);
  QUIRE_CHECK_EQ(spec.gate_up.size(), spec.down.size());
  QUIRE_CHECK_GT(spec.top_k, 0);
  QUIRE_CHECK_LE(spec.top_k, std::min(num_experts, kMaxTopK));
  const Linear& first = *spec.gate_up[0];
  for (int expert = 0; expert < num_experts; ++expert) {
    QUIRE_CHECK_EQ(spec.gate_up[expert]->in_features(), first.in_features());
    QUIRE_CHECK_EQ(spec.gate_up[expert]->out_features(), first.out_features());
    QUIRE_CHECK_EQ(spec.down[expert]->in_features() * 2, first.out_features());
    QUIRE_CHECK_EQ(spec.down[expert]->out_features(), first.in_features());
  }
}

void CheckApplyExperts(const ExpertsSpec& spec, const DeviceMatrix& x,
                       DeviceArray<const int32_t> ids, const DeviceMatrix& weights,
                       const DeviceMatrix& out) {
  QUIRE_CHECK(x.dtype == spec.act_dtype);
  CheckIsFloat(weights);
  CheckIsFloat(out);
  CheckSameShape(x, out);
  CheckRows(weights);
  QUIRE_CHECK_EQ(x.cols, spec.gate_up[0]->in_features());
  QUIRE_CHECK_EQ(weights.rows, x.rows);
  QUIRE_CHECK_EQ(weights.cols, spec.top_k);
  QUIRE_CHECK_EQ(ids.size, x.rows * spec.top_k);
  const auto num_experts = static_cast<int32_t>(spec.gate_up.size());
  for (int64_t i = 0; i < ids.size; ++i) {
    QUIRE_CHECK(ids.data[i] >= 0 && ids.data[i] < num_experts) << ids.data[i];
  }
}

void CheckSumRows(const DeviceMatrix& x, absl::Span<const float> sum) {
  CheckIsAct(x);
  CheckRows(x);
  QUIRE_CHECK_EQ(x.cols, static_cast<int64_t>(sum.size()));
}

void CheckGatherRows(const DeviceMatrix& x, DeviceArray<const int32_t> rows,
                     const DeviceMatrix& out) {
  CheckIsAct(x);
  QUIRE_CHECK(out.dtype == x.dtype);
  QUIRE_CHECK_EQ(x.cols, out.cols);
  QUIRE_CHECK_EQ(out.rows, rows.size);
  CheckRows(x);
  CheckRows(out);
}

int64_t CheckLinearSpec(const LinearSpec& spec) {
  QUIRE_CHECK(spec.act_dtype != DType::kFloat16) << spec.name;
  QUIRE_CHECK_GT(spec.in_features, 0) << spec.name;
  int64_t out_features = 0;
  for (const WeightRows& part : spec.parts) {
    QUIRE_CHECK(part.weight != nullptr) << spec.name;
    QUIRE_CHECK_GT(part.out_features, 0) << spec.name;
    QUIRE_CHECK_GE(part.row_stride, 0) << spec.name;
    QUIRE_CHECK_GT(part.col_stride, 0) << spec.name;
    if (part.mxfp4_scales != nullptr) {
      QUIRE_CHECK_EQ(spec.in_features % kMxfp4Block, 0) << spec.name;
      QUIRE_CHECK_EQ(part.row_stride % kMxfp4Block, 0) << spec.name;
      QUIRE_CHECK_EQ(part.col_stride, 1) << spec.name;
    }
    out_features += part.out_features;
  }
  QUIRE_CHECK_GT(out_features, 0) << spec.name;
  return out_features;
}

}  // namespace quire
