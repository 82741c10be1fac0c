#include "ops/cpu/ops_kernel_table.h"

#include "core/cpu/isa_table.h"

namespace quire {

QUIRE_DEFINE_ISA_TABLE(OpsKernelsFor, OpsKernels, kOpsKernels);
QUIRE_DEFINE_ISA_TABLE(SampleKernelsFor, SampleKernels, kSampleKernels);

}  // namespace quire
