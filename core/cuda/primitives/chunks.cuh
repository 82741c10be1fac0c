// Rows cut into chunks of 8 numbers: what one thread takes at a time. How a chunk is loaded (packs
// of 16 bytes where it is aligned, else number by number) changes no result.
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_CHUNKS_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_CHUNKS_CUH_

#include <cstdint>

#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kChunk = 8;

// The numbers of chunk `chunk` of a row of `width`.
QUIRE_HOST_DEVICE int ChunkCount(int width, int chunk) {
  const int left = width - chunk * kChunk;
  return left < kChunk ? left : kChunk;
}
QUIRE_HOST_DEVICE int NumChunks(int width) { return (width + kChunk - 1) / kChunk; }

// Whether a chunk from there on can be moved as packs.
QUIRE_HOST_DEVICE bool IsAligned(const void* data) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0;
}

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

// The same where each chunk is looked at by itself: neither rows nor chunks need be aligned.
template <Cache kCache = Cache::kDefault, typename T>
QUIRE_DEVICE void LoadAnyChunk(Global<const T> row, int begin, int count, float (&values)[kChunk]) {
  if (count == kChunk && IsAligned(row.data() + begin)) {
    LoadChunk<true, kCache>(row, begin, kChunk, values);
  } else {
    LoadChunk<false, kCache>(row, begin, count, values);
  }
}
template <typename T>
QUIRE_DEVICE void StoreAnyChunk(Global<T> row, int begin, int count,
                                const float (&values)[kChunk]) {
  if (count == kChunk && IsAligned(row.data() + begin)) {
    StoreChunk<true>(row, begin, kChunk, values);
  } else {
    StoreChunk<false>(row, begin, count, values);
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_CHUNKS_CUH_
