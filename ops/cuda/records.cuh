// Plain structs in global memory, in packs of 8 or 16 bytes.
#ifndef QUIRE_OPS_CUDA_RECORDS_CUH_
#define QUIRE_OPS_CUDA_RECORDS_CUH_

#include <bit>
#include <cstdint>

#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

namespace internal {

template <typename Record>
struct RecordWords {
  static constexpr int kPack = sizeof(Record) % 16 == 0 ? 4 : 2;
  static constexpr int kPacks = sizeof(Record) / (4 * kPack);
  static_assert(sizeof(Record) == 4 * kPack * kPacks);
  Pack<uint32_t, kPack> packs[kPacks];
};

}  // namespace internal

template <typename Record>
QUIRE_DEVICE Record LoadRecord(Global<const Record> records, int64_t i,
                               Place place = Place::Here()) {
  using Words = internal::RecordWords<Record>;
  const Global<const uint32_t> from(reinterpret_cast<const uint32_t*>(records.data() + i));
  Words words;
  QUIRE_UNROLL
  for (int k = 0; k < Words::kPacks; ++k) {
    words.packs[k] = from.LoadPack<Words::kPack>(k * Words::kPack, place);
  }
  return std::bit_cast<Record>(words);
}

template <typename Record>
QUIRE_DEVICE void StoreRecord(Global<Record> records, int64_t i, const Record& record,
                              Place place = Place::Here()) {
  using Words = internal::RecordWords<Record>;
  const Global<uint32_t> to(reinterpret_cast<uint32_t*>(records.data() + i));
  const Words words = std::bit_cast<Words>(record);
  QUIRE_UNROLL
  for (int k = 0; k < Words::kPacks; ++k) {
    to.StorePack<Words::kPack>(k * Words::kPack, words.packs[k], place);
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_RECORDS_CUH_
