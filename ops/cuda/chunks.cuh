// Matrices whose rows are taken in chunks of 8 numbers.
#ifndef QUIRE_OPS_CUDA_CHUNKS_CUH_
#define QUIRE_OPS_CUDA_CHUNKS_CUH_

#include <cstdint>

#include "core/cuda/primitives/chunks.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/device_matrix.h"

namespace quire::QUIRE_CUDA_TARGET {

// On the host: whether all chunks of rows can be moved as packs.
inline bool HasAlignedRows(const DeviceMatrix& m) {
  const int64_t row_bytes = m.row_stride * static_cast<int64_t>(DTypeBytes(m.dtype));
  return IsAligned(m.data) && (m.rows <= 1 || row_bytes % 16 == 0);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_CHUNKS_CUH_
