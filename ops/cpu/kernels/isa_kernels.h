// The kernels of one instruction set, by name; table.cc puts them into an OpsKernels.
#ifndef QUIRE_OPS_CPU_KERNELS_ISA_KERNELS_H_
#define QUIRE_OPS_CPU_KERNELS_ISA_KERNELS_H_

#include "core/cpu/simd/elements.h"
#include "ops/cpu/kernels/ops_kernels.h"

namespace quire::QUIRE_ISA {

// gemm_kernels.cc
void PackRowsFloat(const PackRowsArgs& args);
void PackRowsBf16(const PackRowsArgs& args);
void GemmFloat(const PanelGemmArgs& args);
void GemmBf16(const PanelGemmArgs& args);
void Finish(const FinishArgs& args);

// pack_kernels.cc
void PackPanelFloat(const PackPanelArgs& args);
void PackPanelBf16(const PackPanelArgs& args);
void EmbedColumnFloat(const void* panel, int64_t column, const EmbedRowArgs& args);
void EmbedColumnBf16(const void* panel, int64_t column, const EmbedRowArgs& args);

// expand_kernels.cc
void ExpandFloat(const ExpandArgs& args);
void ExpandBf16(const ExpandArgs& args);

// norm_kernels.cc
void Normalise(const NormRowsArgs& args);

// activation_kernels.cc
void Activate(const ActivationArgs& args);
void AddScaled(const AddScaledArgs& args);
void Softcap(float* x, int64_t width, float scale, float cap);

// moe_kernels.cc
void Route(const RouteArgs& args);
void Combine(const CombineArgs& args);

// row_kernels.cc
void CopyRow(const void* in, ElementType in_type, int64_t width, void* out, ElementType out_type);
void EmbedRow(const void* in, ElementType in_type, const EmbedRowArgs& args);

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_OPS_CPU_KERNELS_ISA_KERNELS_H_
