// Rows cut into chunks of 8 numbers: what one thread takes at a time. How a chunk is loaded (packs
// of 16 bytes where rows are aligned, else number by number) changes no result.
#ifndef QUIRE_OPS_CUDA_CHUNKS_CUH_
#define QUIRE_OPS_CUDA_CHUNKS_CUH_

#include <cstdint>

#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/device_matrix.h"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kChunk = 8;

// The numbers of chunk `chunk` of a row of `width`.
QUIRE_HOST_DEVICE int ChunkCount(int width, int chunk) {
  const int left = width - chunk * kChunk;
  return left < kChunk ? left : kChunk;
}
QUIRE_HOST_DEVICE int NumChunks(int width) { return (width + kChunk - 1) / kChunk; }

// Numbers [begin, begin + count) of a row, then zeros.
template <bool kAligned, Cache kCache = Cache::kDefault, typename T>
QUIRE_DEVICE void LoadChunk(Global<const T> row, int begin, int count, float (&values)[kChunk]) {
  if (kAligned && count == kChunk) {
    constexpr int kPack = kPackOf16Bytes<T>;
    QUIRE_UNROLL
    for (int i = 0; i < kChunk; i += kPack) {
      const auto pack = row.template LoadPack<kPack, kCache>(begin + i);
      QUIRE_UNROLL
      for (int j = 0; j < kPack; ++j) values[i + j] = ToFloat(pack[j]);
    }
    return;
  }
  QUIRE_UNROLL
  for (int i = 0; i < kChunk; ++i) {
    values[i] = i < count ? ToFloat(row.template Load<kCache>(begin + i)) : 0.0F;
  }
}

template <bool kAligned, typename T>
QUIRE_DEVICE void StoreChunk(Global<T> row, int begin, int count, const float (&values)[kChunk]) {
  if (kAligned && count == kChunk) {
    constexpr int kPack = kPackOf16Bytes<T>;
    QUIRE_UNROLL
    for (int i = 0; i < kChunk; i += kPack) {
      Pack<T, kPack> pack;
      QUIRE_UNROLL
      for (int j = 0; j < kPack; ++j) pack[j] = Narrow<T>(values[i + j]);
      row.template StorePack<kPack>(begin + i, pack);
    }
    return;
  }
  QUIRE_UNROLL
  for (int i = 0; i < kChunk; ++i) {
    if (i < count) row.Store(begin + i, Narrow<T>(values[i]));
  }
}

// Whether chunks can be loaded as packs.
QUIRE_HOST_DEVICE bool IsAligned(const void* data) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0;
}
inline bool HasAlignedRows(const DeviceMatrix& m) {
  const int64_t row_bytes = m.row_stride * static_cast<int64_t>(DTypeBytes(m.dtype));
  return IsAligned(m.data) && (m.rows <= 1 || row_bytes % 16 == 0);
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_CHUNKS_CUH_
