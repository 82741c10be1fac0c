// The CHECKs of ops.h, shared by its implementations: shapes and types that only a bug gets wrong.
#ifndef QUIRE_OPS_OP_CHECKS_H_
#define QUIRE_OPS_OP_CHECKS_H_

#include "ops/ops.h"

namespace quire {

void CheckEmbed(int64_t width, DeviceArray<const int32_t> ids, const DeviceMatrix& out);
void CheckNormalise(const DeviceMatrix& x, const Norm& norm, const DeviceMatrix& out);
void CheckAddNormalise(const AddNormaliseArgs& args);
void CheckApply(const Linear& linear, DType act_dtype, const DeviceMatrix& x,
                const DeviceMatrix& y);
void CheckGatedActivation(const DeviceMatrix& gate_up, const DeviceMatrix& out);
void CheckActivate(const ActivationParams& activation, const DeviceMatrix& x,
                   const DeviceMatrix& out);
void CheckAddTo(const DeviceMatrix& x, const DeviceMatrix& out);
void CheckAddSigmoidGated(const DeviceMatrix& x, const DeviceMatrix& gate, const DeviceMatrix& out);
void CheckSoftcapLogits(const DeviceMatrix& logits, float cap);
void CheckRoute(const RouterParams& params, const DeviceMatrix& logits, DeviceArray<int32_t> ids,
                const DeviceMatrix& weights);
void CheckExpertsSpec(const ExpertsSpec& spec);
// Of experts made by `spec`; the ids too.
void CheckApplyExperts(const ExpertsSpec& spec, const DeviceMatrix& x,
                       DeviceArray<const int32_t> ids, const DeviceMatrix& weights,
                       const DeviceMatrix& out);
void CheckSumRows(const DeviceMatrix& x, absl::Span<const float> sum);
void CheckGatherRows(const DeviceMatrix& x, DeviceArray<const int32_t> rows,
                     const DeviceMatrix& out);

// The output features of all parts. CHECKs the types and that there is something to multiply.
int64_t CheckLinearSpec(const LinearSpec& spec);

}  // namespace quire

#endif  // QUIRE_OPS_OP_CHECKS_H_
