// The kernels of one instruction set, by name; table.cc puts them into an AttentionKernels.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_ISA_KERNELS_H_
#define QUIRE_ATTENTION_CPU_KERNELS_ISA_KERNELS_H_

#include "attention/cpu/kernels/attention_kernels.h"
#include "attention/cpu/kernels/mla_kernels.h"
#include "core/cpu/simd/elements.h"

namespace quire::QUIRE_ISA {

// gqa_kernels.cc
int64_t GqaScratchNumbers(int64_t head_dim, int64_t value_dim);
void Gqa(const GqaItem& item);
void GqaSplit(const GqaItem& item, int64_t split, float* partial);
void GqaMerge(const GqaItem& item, float* total, int64_t splits, const float* partials);

// rope_kernels.cc
void NormRopeWrite(const NormRopeWriteArgs& args);
void WriteKv(const WriteKvArgs& args);

// mla_absorbed.cc
int64_t MlaScratchNumbers(int64_t head_dim, int64_t value_dim);
void MlaAbsorbed(const MlaItem& item);
void MlaAbsorbedSplit(const MlaItem& item, int64_t split, float* partial);

// mla_pages.cc
void MlaNormRopeWrite(const MlaNormRopeWriteArgs& args);
void MlaGather(const GatherLatentsArgs& args);
void MlaExpand(const MlaExpandArgs& args);

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_ATTENTION_CPU_KERNELS_ISA_KERNELS_H_
