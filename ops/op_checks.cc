#include "ops/op_checks.h"

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
    out_features += part.out_features;
  }
  QUIRE_CHECK_GT(out_features, 0) << spec.name;
  return out_features;
}

}  // namespace quire
