// The kernels of one instruction set, by name; table.cc puts them into an AttentionKernels.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_ISA_KERNELS_H_
#define QUIRE_ATTENTION_CPU_KERNELS_ISA_KERNELS_H_

#include "attention/cpu/kernels/attention_kernels.h"
#include "core/cpu/simd/elements.h"

namespace quire::QUIRE_ISA {

// gqa_kernels.cc
int64_t GqaScratchNumbers(int64_t head_dim, int64_t value_dim);
void Gqa(const GqaItem& item);
void GqaSplit(const GqaItem& item, int64_t split, float* partial);
void GqaMerge(const GqaItem& item, int64_t splits, float* partials);

// rope_kernels.cc
void NormRopeWrite(const NormRopeWriteArgs& args);
void WriteKv(const WriteKvArgs& args);

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_ATTENTION_CPU_KERNELS_ISA_KERNELS_H_
