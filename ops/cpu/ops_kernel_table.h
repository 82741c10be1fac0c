// The kernels of an instruction set.
#ifndef QUIRE_OPS_CPU_OPS_KERNEL_TABLE_H_
#define QUIRE_OPS_CPU_OPS_KERNEL_TABLE_H_

#include "core/cpu/cpu_isa.h"
#include "ops/cpu/kernels/ops_kernels.h"
#include "ops/cpu/kernels/sample_kernels.h"

namespace quire {

// The CPU must have `isa`.
const OpsKernels& OpsKernelsFor(CpuIsa isa);
const SampleKernels& SampleKernelsFor(CpuIsa isa);

}  // namespace quire

#endif  // QUIRE_OPS_CPU_OPS_KERNEL_TABLE_H_
