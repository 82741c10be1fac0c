#include "attention/cpu/attention_kernel_table.h"

#include "core/cpu/isa_table.h"

namespace quire {

QUIRE_DEFINE_ISA_TABLE(AttentionKernelsFor, AttentionKernels, kAttentionKernels);
QUIRE_DEFINE_ISA_TABLE(MlaKernelsFor, MlaKernels, kMlaKernels);

}  // namespace quire
