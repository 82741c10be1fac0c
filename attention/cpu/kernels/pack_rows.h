// Queries as the tiles of a product take them.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_PACK_ROWS_H_
#define QUIRE_ATTENTION_CPU_KERNELS_PACK_ROWS_H_

#include "attention/cpu/kernels/gqa_tiles.h"
#include "core/cpu/simd/elements.h"
#include "core/cpu/simd/interleave.h"

namespace quire::QUIRE_ISA {

// out [dim, rows] interleaved, of RowNumbers(kKind, rows dim): rows [first, first + rows) of `dim`
// elements, of which load(row, d, lanes) gives [d, d + lanes).
template <TileKind kKind, typename LoadDims>
inline void PackRows(int64_t first, int rows, int64_t dim, float* out, LoadDims load) {
  const auto dims = [&](int64_t row, int64_t d) {
    return d < dim ? load(row, d, LanesOf(dim - d)) : Zero();
  };
  Interleave(rows, RowNumbers(kKind, dim), out, [&](int r, int64_t i) {
    const int64_t row = first + r;
    if constexpr (kKind != TileKind::kBf16Dot) return dims(row, i);
    uint16_t rounded[2 * kLanes];
    StoreBf16(rounded, dims(row, 2 * i));
    StoreBf16(rounded + kLanes, dims(row, 2 * i + kLanes));
    return LoadPairsFirst(rounded, 2 * kLanes);
  });
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_ATTENTION_CPU_KERNELS_PACK_ROWS_H_
