// A token's place in the paged cache, for kernels that write it.
#ifndef QUIRE_ATTENTION_CUDA_TOKEN_PLACE_CUH_
#define QUIRE_ATTENTION_CUDA_TOKEN_PLACE_CUH_

#include <cstdint>

#include "attention/cuda/head_units.cuh"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/chunks.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/number_types.h"
#include "kvcache/kv_layout.h"

namespace quire::QUIRE_CUDA_TARGET {

// Page `block` of a layer.
template <typename T>
QUIRE_DEVICE Global<T> PageAt(const PagedKvView& kv, int64_t block) {
  DeviceCheck(block >= 0 && block < kv.num_blocks);
  return Global<T>(
      reinterpret_cast<T*>(static_cast<char*>(kv.base) + block * kv.page_stride_bytes));
}

// C is the cache's type.
template <typename C>
class TokenPlace {
 public:
  TokenPlace() = default;
  QUIRE_DEVICE TokenPlace(const PagedKvView& kv, int64_t slot) : layout_(kv.layout) {
    layout_.dtype = kDTypeOf<C>;  // known to the compiler: offsets need no division
    const int64_t block = slot / layout_.block_tokens;
    page_ = PageAt<C>(kv, block);
    token_ = static_cast<int>(slot - block * layout_.block_tokens);
    DeviceCheck(token_ >= 0);
  }

  // Numbers of a head's key, whose dims the unit counts from `first_dim` on.
  QUIRE_DEVICE void WriteKey(int head, int first_dim, const HeadUnit& unit) const {
    constexpr int kPair = 4 / static_cast<int>(sizeof(C));
    QUIRE_UNROLL
    for (int r = 0; r < 2; ++r) {
      const int begin = first_dim + unit.begin[r];
      const bool pairs = begin % kPair == 0;
      QUIRE_UNROLL
      for (int i = 0; i < kChunk; i += kPair) {
        Pack<C, kPair> pack;
        QUIRE_UNROLL
        for (int j = 0; j < kPair; ++j) pack[j] = Narrow<C>(unit.values[r][i + j]);
        if (pairs && i + kPair <= unit.count[r]) {
          page_.template StorePack<kPair>(layout_.KeyOffset(head, token_, begin + i), pack);
          continue;
        }
        QUIRE_UNROLL
        for (int j = 0; j < kPair; ++j) {
          if (i + j < unit.count[r]) {
            page_.Store(layout_.KeyOffset(head, token_, begin + i + j), pack[j]);
          }
        }
      }
    }
  }

  // Numbers of a head's value.
  QUIRE_DEVICE void WriteValue(int head, const HeadUnit& unit) const {
    QUIRE_UNROLL
    for (int r = 0; r < 2; ++r) {
      if constexpr (sizeof(C) == 4) {
        StoreAnyChunk(page_ + layout_.ValueOffset(head, token_, 0), unit.begin[r], unit.count[r],
                      unit.values[r]);
      } else {
        QUIRE_UNROLL
        for (int i = 0; i < kChunk; ++i) {
          if (i < unit.count[r]) {
            page_.Store(layout_.ValueOffset(head, token_, unit.begin[r] + i),
                        Narrow<C>(unit.values[r][i]));
          }
        }
      }
    }
  }

 private:
  KvPageLayout layout_;
  Global<C> page_;
  int token_ = 0;
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_TOKEN_PLACE_CUH_
