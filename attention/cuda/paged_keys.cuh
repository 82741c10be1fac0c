// Keys and values in pages (kvcache/kv_layout.h), and tiles of them in shared memory.
//
// A page of bf16 holds words of two numbers: of keys two dims of a token, K [Hkv, D/2, B], of
// values two tokens' same dim, V [Hkv, B/2, Dv]. Tiles are the same words, K [D/2, tokens] and
// V [tokens/2, Dv], in chunks of 4 words whose place in a row is turned (swizzle) so that neither
// copies nor fragments meet in a bank. A word is half of a B fragment as it lies; a lane takes 4 at
// once, which are those of 4 fragments. With g = lane / 4 and t = lane % 4
//   column n of fragment j of 32 tokens is token 4n + j: in C a lane's 8 tokens are 8t + 4c + j;
//   the step of 16 tokens s of 32 takes a lane's tokens 8t + 4s .. + 3;
//   column n of fragment j of 32 dims is dim 4n + j: a lane's 8 dims are 8t .. 8t + 7.
#ifndef QUIRE_ATTENTION_CUDA_PAGED_KEYS_CUH_
#define QUIRE_ATTENTION_CUDA_PAGED_KEYS_CUH_

#include <cstdint>

#include "attention/cuda/gqa_args.h"
#include "attention/cuda/row_ranges.cuh"
#include "core/cuda/primitives/async_copy.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// Where the pages are. Kv is the type of the cache's numbers.
template <typename Kv>
struct PageParams {
  Global<const Kv> base;
  int64_t page_stride;  // in numbers
  int block_tokens;
  int num_kv_heads;
  int head_dim;
  int value_dim;
  bool key_chunks;    // 16 bytes of keys can be copied at once
  bool value_chunks;  // likewise

  static constexpr int kPair = 4 / static_cast<int>(sizeof(Kv));

  // Of token `token` of a page: element d lies at begin + KeyStep(d), or begin + ValueStep(d).
  QUIRE_DEVICE int64_t KeyBegin(int head, int token) const {
    return static_cast<int64_t>(head) * head_dim * block_tokens + token * kPair;
  }
  QUIRE_DEVICE int64_t ValueBegin(int head, int token) const {
    return static_cast<int64_t>(num_kv_heads) * head_dim * block_tokens +
           static_cast<int64_t>(head) * value_dim * block_tokens +
           static_cast<int64_t>(token / kPair) * value_dim * kPair + token % kPair;
  }
  QUIRE_DEVICE int64_t KeyStep(int d) const {
    return static_cast<int64_t>(d / kPair) * block_tokens * kPair + d % kPair;
  }
  QUIRE_DEVICE int64_t ValueStep(int d) const { return d * kPair; }
};

template <typename Kv>
PageParams<Kv> MakePageParams(const KvPageArgs& pages, const GqaShapeArgs& shape) {
  const bool aligned = reinterpret_cast<uintptr_t>(pages.base) % 16 == 0 &&
                       pages.page_stride_bytes % 16 == 0 && pages.block_tokens % 4 == 0;
  return {.base = Global<const Kv>(static_cast<const Kv*>(pages.base)),
          .page_stride = pages.page_stride_bytes / static_cast<int64_t>(sizeof(Kv)),
          .block_tokens = pages.block_tokens,
          .num_kv_heads = shape.num_kv_heads,
          .head_dim = shape.head_dim,
          .value_dim = shape.value_dim,
          .key_chunks = aligned,
          .value_chunks = aligned && shape.value_dim % 4 == 0};
}

// One KV head of a sequence: page i of `blocks` holds its positions from (first_block + i) B on.
template <typename Kv>
class PagedHead {
 public:
  QUIRE_DEVICE PagedHead(const PageParams<Kv>& params, int head, Global<const int32_t> blocks,
                         int first_block)
      : p_(params), head_(head), blocks_(blocks), first_block_(first_block) {}

  // Where the key and the value of a position begin. It must be one that is seen.
  QUIRE_DEVICE int64_t KeyBegin(int position) const {
    const int page = position / p_.block_tokens;
    return PageBegin(page) + p_.KeyBegin(head_, position - page * p_.block_tokens);
  }
  QUIRE_DEVICE int64_t ValueBegin(int position) const {
    const int page = position / p_.block_tokens;
    return PageBegin(page) + p_.ValueBegin(head_, position - page * p_.block_tokens);
  }
  QUIRE_DEVICE float Key(int64_t begin, int d) const {
    return ToFloat(p_.base.template Load<Cache::kReadOnly>(begin + p_.KeyStep(d)));
  }
  QUIRE_DEVICE float Value(int64_t begin, int d) const {
    return ToFloat(p_.base.template Load<Cache::kReadOnly>(begin + p_.ValueStep(d)));
  }

 protected:
  QUIRE_DEVICE int64_t PageBegin(int page) const {
    return blocks_.template Load<Cache::kReadOnly>(page - first_block_) * p_.page_stride;
  }

  const PageParams<Kv>& p_;
  int head_;
  Global<const int32_t> blocks_;
  int first_block_;
};

// Tiles of kTokens tokens (32 or 64), keys of up to kKeyDim dims and values of up to kValueDim.
template <int kTokens, int kKeyDim, int kValueDim>
struct PagedTileLayout {
  static constexpr int kKeyWords = kKeyDim / 2 * kTokens;
  static constexpr int kValueWords = kTokens / 2 * kValueDim;

  // Word of the keys' row `pair` (of dims) and the chunk of tokens `chunk`.
  QUIRE_DEVICE static int KeyAt(int pair, int chunk) {
    return pair * kTokens + (chunk ^ (pair % 4 * 2)) * 4;
  }
  // Likewise of the values' row `pair` of tokens.
  QUIRE_DEVICE static int ValueAt(int pair, int chunk) {
    return pair * kValueDim + (chunk ^ (pair / 4 % 4 * 2)) * 4;
  }

  // Fragments of the tokens [32 block, + 32), dims [16 step, + 16).
  QUIRE_DEVICE static void LoadKeys(Shared<uint32_t> tile, int block, int step,
                                    uint32_t (&fragments)[4][2]) {
    // A lane's words are a fixed way apart: pair % 4 is t.
    const int first = KeyAt(LaneIndex() % 4, LaneIndex() / 4);
    QUIRE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const auto words =
          tile.template LoadPack<4>(first + (8 * step + 4 * half) * kTokens + 32 * block);
      QUIRE_UNROLL
      for (int j = 0; j < 4; ++j) fragments[j][half] = words[j];
    }
  }
  // Fragments of step `step` of the tokens [32 block, + 32), dims [32 dims, + 32).
  QUIRE_DEVICE static void LoadValues(Shared<uint32_t> tile, int block, int step, int dims,
                                      uint32_t (&fragments)[4][2]) {
    const int first = ValueAt(LaneIndex() % 4 * 4, LaneIndex() / 4);  // pair / 4 % 4 is t
    QUIRE_UNROLL
    for (int half = 0; half < 2; ++half) {
      const auto words =
          tile.template LoadPack<4>(first + (16 * block + 2 * step + half) * kValueDim + 32 * dims);
      QUIRE_UNROLL
      for (int j = 0; j < 4; ++j) fragments[j][half] = words[j];
    }
  }
  // visit(first dim, its numbers in order) for what row half `half` of 4 fragments of 32 dims is.
  template <typename Visit>
  QUIRE_DEVICE static void VisitDims(int dims, const float (&c)[4][2], Visit visit) {
    float values[8];
    QUIRE_UNROLL
    for (int j = 0; j < 4; ++j) {
      values[j] = c[j][0];
      values[4 + j] = c[j][1];
    }
    visit(32 * dims + 8 * (LaneIndex() % 4), values);
  }
};

// Copies tiles of a PagedHead, with all threads of the block. Positions outside of what the block
// sees are not read and become zeros.
template <int kTokens, int kKeyDim, int kValueDim, int kThreads>
class PagedTiles : public PagedHead<bf16> {
 public:
  using Layout = PagedTileLayout<kTokens, kKeyDim, kValueDim>;
  using PagedHead::PagedHead;

  // The tile of positions [begin, begin + kTokens), of which `seen` are.
  QUIRE_DEVICE void Load(Shared<uint32_t> keys, Shared<uint32_t> values, int begin,
                         KeySpan seen) const {
    LoadKeys(keys, begin, seen);
    constexpr int kRows = kThreads / kValueLanes;
    QUIRE_NO_UNROLL
    for (int first = 0; first < kTokens / 2; first += kRows) {
      const int pair = first + ThreadIndex() / kValueLanes;
      if (pair < kTokens / 2) LoadValuePair(values, pair, begin + 2 * pair, seen);
    }
  }

 private:
  static constexpr int kValueLanes = 8;  // neighbours that copy 128 bytes of a pair of tokens

  QUIRE_DEVICE Global<const uint32_t> Words() const {
    return Global<const uint32_t>(reinterpret_cast<const uint32_t*>(p_.base.data()));
  }

  // A thread copies the same 4 tokens of every kThreads / (kTokens / 4)th pair of dims.
  QUIRE_DEVICE void LoadKeys(Shared<uint32_t> tile, int begin, KeySpan seen) const {
    constexpr int kChunks = kTokens / 4;
    const int chunk = ThreadIndex() % kChunks, position = begin + 4 * chunk;
    const bool some = position < seen.end && position + 4 > seen.begin;
    const int pairs = some ? p_.head_dim / 2 : 0;
    if (!some || (p_.key_chunks && position >= seen.begin)) {
      const int left = seen.end - position;
      const int bytes = left < 4 ? left * 4 : 16;
      const int64_t word = some ? KeyBegin(position) / 2 : 0;
      for (int pair = ThreadIndex() / kChunks; pair < kKeyDim / 2; pair += kThreads / kChunks) {
        const bool there = pair < pairs;
        CopyAsync<16>(tile, Layout::KeyAt(pair, chunk), Words(),
                      there ? word + static_cast<int64_t>(pair) * p_.block_tokens : 0,
                      there ? bytes : 0);
      }
      return;
    }
    QUIRE_NO_UNROLL
    for (int i = 0; i < 4; ++i) {
      const bool holds = seen.Holds(position + i);
      const int64_t word = holds ? KeyBegin(position + i) / 2 : 0;
      QUIRE_NO_UNROLL
      for (int pair = ThreadIndex() / kChunks; pair < kKeyDim / 2; pair += kThreads / kChunks) {
        const bool there = holds && pair < pairs;
        CopyAsync<4>(tile, Layout::KeyAt(pair, chunk) + i, Words(),
                     there ? word + static_cast<int64_t>(pair) * p_.block_tokens : 0,
                     there ? 4 : 0);
      }
    }
  }

  QUIRE_DEVICE void LoadValuePair(Shared<uint32_t> tile, int pair, int position,
                                  KeySpan seen) const {
    const bool low = seen.Holds(position), high = seen.Holds(position + 1);
    const int64_t word = low || high ? ValueBegin(position) / 2 : 0;
    const int dims = low || high ? p_.value_dim : 0;
    const int bytes = low && high ? 4 : 2;  // of a word
    for (int chunk = ThreadIndex() % kValueLanes; chunk < kValueDim / 4; chunk += kValueLanes) {
      const int at = Layout::ValueAt(pair, chunk), d = 4 * chunk;
      if (d >= dims) {
        CopyAsync<16>(tile, at, Words(), 0, 0);
      } else if (p_.value_chunks && bytes == 4) {
        CopyAsync<16>(tile, at, Words(), word + d);
      } else {
        QUIRE_NO_UNROLL
        for (int i = 0; i < 4; ++i) {
          const bool there = d + i < dims;
          if (high && !low) {
            const int64_t number = 2 * (word + d + i) + 1;
            tile.Store(at + i, there ? uint32_t{p_.base.Load(number).bits} << 16 : 0U);
          } else {
            CopyAsync<4>(tile, at + i, Words(), there ? word + d + i : 0, there ? bytes : 0);
          }
        }
      }
    }
  }
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_PAGED_KEYS_CUH_
