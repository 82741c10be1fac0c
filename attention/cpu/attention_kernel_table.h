// The kernels of an instruction set.
#ifndef QUIRE_ATTENTION_CPU_ATTENTION_KERNEL_TABLE_H_
#define QUIRE_ATTENTION_CPU_ATTENTION_KERNEL_TABLE_H_

#include "attention/cpu/kernels/attention_kernels.h"
#include "attention/cpu/kernels/mla_kernels.h"
#include "core/cpu/cpu_isa.h"

namespace quire {

// The CPU must have `isa`.
const AttentionKernels& AttentionKernelsFor(CpuIsa isa);

const MlaKernels& MlaKernelsFor(CpuIsa isa);

}  // namespace quire

#endif  // QUIRE_ATTENTION_CPU_ATTENTION_KERNEL_TABLE_H_
