// The CHECKs of ops.h, shared by its implementations: shapes and types that only a bug gets wrong.
#ifndef QUIRE_OPS_OP_CHECKS_H_
#define QUIRE_OPS_OP_CHECKS_H_

#include "ops/ops.h"

namespace quire {

void CheckEmbed(int64_t width, DeviceArray<const int32_t> token_ids, const DeviceMatrix& out);
void CheckRmsNorm(const DeviceMatrix& x, const DeviceVector& weight, const DeviceMatrix& out);
void CheckAddRmsNorm(const DeviceMatrix& residual, const DeviceMatrix& delta,
                     const DeviceVector& weight, const DeviceMatrix& out);
void CheckApply(const Linear& linear, DType act_dtype, const DeviceMatrix& x,
                const DeviceMatrix& y);
void CheckSiluMul(const DeviceMatrix& gate_up, const DeviceMatrix& out);
void CheckGatherRows(const DeviceMatrix& x, DeviceArray<const int32_t> rows,
                     const DeviceMatrix& out);

// The output features of all parts. CHECKs the types and that there is something to multiply.
int64_t CheckLinearSpec(const LinearSpec& spec);

}  // namespace quire

#endif  // QUIRE_OPS_OP_CHECKS_H_
