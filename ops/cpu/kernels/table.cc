#include "ops/cpu/kernels/isa_kernels.h"

namespace quire::QUIRE_ISA {

extern const OpsKernels kOpsKernels;
const OpsKernels kOpsKernels = {
    .tile_rows = kTileRows,
    .packs_pairs = kHasBf16Dot,
    .pack_rows = {PackRowsFloat, PackRowsBf16},
    .gemm = {GemmFloat, GemmBf16},
    .pack_panel = {PackPanelFloat, PackPanelBf16},
    .expand = {ExpandFloat, ExpandBf16},
    .finish = Finish,
    .embed_column = {EmbedColumnFloat, EmbedColumnBf16},
    .embed_row = EmbedRow,
    .normalise = Normalise,
    .activate = Activate,
    .add_scaled = AddScaled,
    .softcap = Softcap,
    .route = Route,
    .combine = Combine,
    .copy_row = CopyRow,
};

}  // namespace quire::QUIRE_ISA
