// The kernels of one instruction set, by name; table.cc puts them into an OpsKernels.
#ifndef QUIRE_OPS_CPU_KERNELS_ISA_KERNELS_H_
#define QUIRE_OPS_CPU_KERNELS_ISA_KERNELS_H_

#include "core/cpu/simd/elements.h"
#include "ops/cpu/kernels/ops_kernels.h"

namespace quire::QUIRE_ISA {

// gemm_kernels.cc
void PackRowsFloat(const PackRowsArgs& args);
void PackRowsBf16(const PackRowsArgs& args);
void GemmFloat(const GemmArgs& args);
void GemmBf16(const GemmArgs& args);
void Finish(const FinishArgs& args);

// pack_kernels.cc
void PackPanelFloat(const PackPanelArgs& args);
void PackPanelBf16(const PackPanelArgs& args);
void UnpackColumnFloat(const void* panel, int64_t column, int64_t width, float* out);
void UnpackColumnBf16(const void* panel, int64_t column, int64_t width, float* out);

// row_kernels.cc
void RmsNorm(const NormArgs& args);
void SiluMul(const SiluMulArgs& args);
void CopyRow(const void* in, ElementType in_type, int64_t width, void* out, ElementType out_type);

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_OPS_CPU_KERNELS_ISA_KERNELS_H_
