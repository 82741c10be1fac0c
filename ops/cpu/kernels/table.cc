#include "ops/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {

extern const OpsKernels kOpsKernels;
const OpsKernels kOpsKernels = {
    .tile_rows = kTileRows,
    .packs_pairs = kHasBf16Dot,
    .pack_rows = {PackRowsFloat, PackRowsBf16},
    .gemm = {GemmFloat, GemmBf16},
    .pack_panel = {PackPanelFloat, PackPanelBf16},
    .finish = Finish,
    .unpack_column = {UnpackColumnFloat, UnpackColumnBf16},
    .rms_norm = RmsNorm,
    .silu_mul = SiluMul,
    .copy_row = CopyRow,
};

}  // namespace quire::QUIRE_ISA
