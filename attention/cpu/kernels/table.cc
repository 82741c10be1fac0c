#include "attention/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {

extern const AttentionKernels kAttentionKernels;
const AttentionKernels kAttentionKernels = {
    .gqa_scratch_numbers = GqaScratchNumbers,
    .gqa = Gqa,
    .gqa_split = GqaSplit,
    .gqa_merge = GqaMerge,
    .norm_rope_write = NormRopeWrite,
    .write_kv = WriteKv,
};

extern const MlaKernels kMlaKernels;
const MlaKernels kMlaKernels = {
    .scratch_numbers = MlaScratchNumbers,
    .absorbed = MlaAbsorbed,
    .absorbed_split = MlaAbsorbedSplit,
    .norm_rope_write = MlaNormRopeWrite,
    .gather = MlaGather,
    .expand = MlaExpand,
};

}  // namespace quire::QUIRE_ISA
