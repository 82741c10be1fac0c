// A token's place in the paged cache, for kernels that write it.
#ifndef QUIRE_ATTENTION_CUDA_TOKEN_PLACE_CUH_
#define QUIRE_ATTENTION_CUDA_TOKEN_PLACE_CUH_

#include <cstdint>

#include "attention/cuda/head_units.cuh"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/chunks.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"
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

// What a lane knows of the row whose token shares words with its own: in a page of bf16 values the
// same dim of tokens 2i and 2i + 1.
struct TokenPair {
  bool is_paired = false;  // that row is in the warp too
  bool is_odd = false;     // the own token is 2i + 1
  int lane = 0;            // that holds the same dims of the other

  TokenPair() = default;
  // All lanes of the warp call it. `slot` is -1 where there is no row.
  QUIRE_DEVICE TokenPair(const LaneGroup& group, int64_t slot) : is_odd(slot % 2 != 0) {
    lane = LaneIndex() + (is_odd ? -group.lanes : group.lanes);
    const bool exists = slot >= 0 && lane >= 0 && lane < kWarpLanes;
    if (!exists) lane = LaneIndex();
    is_paired = ShuffleFrom(slot, lane) == (slot ^ 1) && exists;
  }
};

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
      if (unit.count[r] == kChunk && begin % kPair == 0) {
        const Global<C> words = page_ + layout_.KeyOffset(head, token_, begin);
        const auto stride = static_cast<int>(layout_.KeyOffset(0, 0, kPair));
        QUIRE_UNROLL
        for (int i = 0; i < kChunk; i += kPair) {
          Pack<C, kPair> pack;
          QUIRE_UNROLL
          for (int j = 0; j < kPair; ++j) pack[j] = Narrow<C>(unit.values[r][i + j]);
          words.template StorePack<kPair>(i / kPair * stride, pack);
        }
        continue;
      }
      QUIRE_UNROLL
      for (int i = 0; i < kChunk; ++i) {
        if (i < unit.count[r]) {
          page_.Store(layout_.KeyOffset(head, token_, begin + i), Narrow<C>(unit.values[r][i]));
        }
      }
    }
  }

  // Numbers of a head's value.
  QUIRE_DEVICE void WriteValue(int head, const HeadUnit& unit) const {
    QUIRE_UNROLL
    for (int r = 0; r < 2; ++r) WriteValueChunk(head, unit.begin[r], unit.count[r], unit.values[r]);
  }
  // The same where all lanes of the warp call it. A paired lane writes whole words, half of its
  // dims and the same ones of the other token, as the other does with its half.
  QUIRE_DEVICE void WriteValue(int head, const HeadUnit& unit, const TokenPair& pair) const {
    QUIRE_UNROLL
    for (int r = 0; r < 2; ++r) {
      const float(&x)[kChunk] = unit.values[r];
      const uint32_t first[2] = {PackBf16(x[0], x[1]), PackBf16(x[2], x[3])};
      const uint32_t second[2] = {PackBf16(x[4], x[5]), PackBf16(x[6], x[7])};
      Pack<uint32_t, 4> words;
      QUIRE_UNROLL
      for (int i = 0; i < 2; ++i) {
        const uint32_t other = ShuffleFrom(pair.is_odd ? first[i] : second[i], pair.lane);
        const uint32_t even = pair.is_odd ? other : first[i];
        const uint32_t odd = pair.is_odd ? second[i] : other;
        words[2 * i] = (even & 0xffffU) | (odd << 16);
        words[2 * i + 1] = (even >> 16) | (odd & 0xffff0000U);
      }
      const int begin = unit.begin[r] + (pair.is_odd ? kChunk / 2 : 0);
      if (pair.is_paired && unit.count[r] == kChunk) {
        C* at = page_.data() + layout_.ValueOffset(head, token_ / 2 * 2, begin);
        if (IsAligned(at)) {
          Global<uint32_t>(reinterpret_cast<uint32_t*>(at)).template StorePack<4>(0, words);
          continue;
        }
      }
      WriteValueChunk(head, unit.begin[r], unit.count[r], x);
    }
  }

 private:
  QUIRE_DEVICE void WriteValueChunk(int head, int begin, int count,
                                    const float (&values)[kChunk]) const {
    if constexpr (sizeof(C) == 4) {
      StoreAnyChunk(page_ + layout_.ValueOffset(head, token_, 0), begin, count, values);
    } else {
      QUIRE_UNROLL
      for (int i = 0; i < kChunk; ++i) {
        if (i < count) {
          page_.Store(layout_.ValueOffset(head, token_, begin + i), Narrow<C>(values[i]));
        }
      }
    }
  }

  KvPageLayout layout_;
  Global<C> page_;
  int token_ = 0;
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_TOKEN_PLACE_CUH_
