// The kernels of an instruction set.
#ifndef QUIRE_OPS_CPU_OPS_KERNEL_TABLE_H_
#define QUIRE_OPS_CPU_OPS_KERNEL_TABLE_H_

#include "core/cpu/cpu_isa.h"
#include "core/dtype.h"
#include "ops/cpu/kernels/ops_kernels.h"
#include "ops/cpu/kernels/sample_kernels.h"

namespace quire {

// The CPU must have `isa`.
const OpsKernels& OpsKernelsFor(CpuIsa isa);
const SampleKernels& SampleKernelsFor(CpuIsa isa);

constexpr ElementType ToElementType(DType dtype) { return static_cast<ElementType>(dtype); }
static_assert(ToElementType(DType::kFloat32) == ElementType::kFloat32);
static_assert(ToElementType(DType::kBFloat16) == ElementType::kBFloat16);
static_assert(ToElementType(DType::kFloat16) == ElementType::kFloat16);

}  // namespace quire

#endif  // QUIRE_OPS_CPU_OPS_KERNEL_TABLE_H_
