// What the kernels of latent attention share: numbers of a type known at run time, tiles of cache
// rows in shared memory, and the online softmax.
#ifndef QUIRE_ATTENTION_CUDA_MLA_SOFTMAX_CUH_
#define QUIRE_ATTENTION_CUDA_MLA_SOFTMAX_CUH_

#include <bit>
#include <cstdint>

#include "attention/cuda/mla_args.h"
#include "core/cuda/primitives/async_copy.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/device_matrix.h"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr float kLog2OfE = 1.4426950408889634F;

QUIRE_DEVICE float MinusInfinity() { return std::bit_cast<float>(0xff800000U); }

// 2^(m - MaximumBase(most)) is a number where nothing has been seen yet, too.
QUIRE_DEVICE float MaximumBase(float most) { return most == MinusInfinity() ? 0.0F : most; }

// Whether a bf16 number, in the lower half, is infinite or none.
QUIRE_DEVICE bool NoNumber(uint32_t half) { return (half & 0x7f80U) == 0x7f80U; }

// A pair of bf16 with zeros in place of such.
QUIRE_DEVICE uint32_t NumbersOf(uint32_t pair) {
  const uint32_t low = NoNumber(pair) ? 0 : pair & 0xffffU;
  return NoNumber(pair >> 16) ? low : low | (pair & 0xffff0000U);
}

// A softmax under way: the maximum of the exponents (of two) and the sum of 2^(exponent - m).
struct SoftmaxState {
  float m;
  float l;
};
QUIRE_DEVICE SoftmaxState EmptySoftmax() { return {MinusInfinity(), 0.0F}; }

// What sums of values are multiplied by where two states become one.
struct MergeFactors {
  float total;
  float split;
};

// `total` with the state of a later split. Sums follow as Fma(split's, factors.split, total's *
// factors.total). The first split of all is the total as it is.
QUIRE_DEVICE MergeFactors AddSplit(SoftmaxState& total, SoftmaxState split) {
  const float most = split.m > total.m ? split.m : total.m;
  const float base = MaximumBase(most);
  const MergeFactors factors{FastExp2(total.m - base), FastExp2(split.m - base)};
  total.m = most;
  total.l = Fma(split.l, factors.split, total.l * factors.total);
  return factors;
}

// A row's sum of values as its result.
QUIRE_DEVICE float Normalised(float sum, float l) { return l == 0.0F ? 0.0F : ExactDivide(sum, l); }

// A matrix of fp32 or bf16. That the type is known at run time only costs a branch all threads take
// alike; it is for what a block reads or writes once.
class Numbers {
 public:
  explicit Numbers(const DeviceMatrix& matrix)
      : wide_(matrix.dtype == DType::kFloat32 ? static_cast<float*>(matrix.data) : nullptr),
        narrow_(matrix.dtype == DType::kFloat32 ? nullptr : static_cast<bf16*>(matrix.data)),
        stride_(matrix.row_stride),
        pairs_(reinterpret_cast<uintptr_t>(matrix.data) % (2 * DTypeBytes(matrix.dtype)) == 0 &&
               matrix.row_stride % 2 == 0) {}

  QUIRE_DEVICE float Load(int64_t row, int64_t col) const {
    const int64_t i = row * stride_ + col;
    return narrow_.is_null() ? wide_.Load(i) : ToFloat(narrow_.Load(i));
  }
  // Columns col and col + 1 (col is even, here and below) as a register of a matrix fragment.
  QUIRE_DEVICE uint32_t LoadBf16Pair(int64_t row, int64_t col) const {
    const int64_t i = row * stride_ + col;
    if (pairs_ && !narrow_.is_null()) {
      const Pack<bf16, 2> pair = narrow_.template LoadPack<2>(i);
      return pair[0].bits | (uint32_t{pair[1].bits} << 16);
    }
    return PackBf16(Load(row, col), Load(row, col + 1));
  }
  QUIRE_DEVICE void Store(int64_t row, int64_t col, float value) const {
    const int64_t i = row * stride_ + col;
    if (narrow_.is_null()) {
      wide_.Store(i, value);
    } else {
      narrow_.Store(i, Narrow<bf16>(value));
    }
  }
  QUIRE_DEVICE void StorePair(int64_t row, int64_t col, float first, float second) const {
    const int64_t i = row * stride_ + col;
    if (narrow_.is_null()) {
      StorePairOf(wide_, i, first, second);
    } else {
      StorePairOf(narrow_, i, Narrow<bf16>(first), Narrow<bf16>(second));
    }
  }

 private:
  template <typename T>
  QUIRE_DEVICE void StorePairOf(Global<T> data, int64_t i, T first, T second) const {
    if (pairs_) {
      data.template StorePack<2>(i, {{first, second}});
    } else {
      data.Store(i, first);
      data.Store(i + 1, second);
    }
  }

  Global<float> wide_;
  Global<bf16> narrow_;
  int64_t stride_;
  bool pairs_;
};

// The pages as words of 4 bytes: word w of page b's token t is words[b stride + w B + t], one
// number of fp32 or two of bf16 (kv_layout.h).
struct PageWords {
  Global<const uint32_t> words;
  int64_t stride;
  int block_tokens;
  bool packs;  // 4 tokens of a word are one access

  explicit PageWords(const MlaPages& pages)
      : words(static_cast<const uint32_t*>(pages.base)),
        stride(pages.page_stride_bytes / 4),
        block_tokens(pages.block_tokens),
        packs(reinterpret_cast<uintptr_t>(pages.base) % 16 == 0 &&
              pages.page_stride_bytes % 16 == 0) {}

  // Word 0 of the token at `position` of the sequence whose block ids begin at `table`.
  QUIRE_DEVICE int64_t At(Global<const int32_t> table, int position) const {
    return table.Load(position / block_tokens) * stride + position % block_tokens;
  }
};

// Where word `word` of token `token` lies in a tile of kTokens tokens in shared memory. Groups of 8
// tokens change places from word to word, so that neither the words of a column nor the tokens of a
// row that a fragment consists of share a bank.
template <int kTokens>
QUIRE_DEVICE int TokenTileIndex(int word, int token) {
  return word * kTokens + (token ^ ((word & 3) << 3));
}

// What a thread copies of a tile of the tokens [position, position + kTokens), a multiple of
// kTokens: 4 tokens of some words. Those from `end` on are zeros, and nothing of theirs is read.
template <int kTokens>
class TileCopy {
 public:
  // Reads the block's id, so call it long before Start.
  QUIRE_DEVICE void Find(const PageWords& pages, Global<const int32_t> table, int position,
                         int end) {
    const int left = end - (position + Token());
    seen_ = left < 0 ? 0 : left > 4 ? 4 : left;
    source_ = seen_ == 0 ? 0 : pages.At(table, position + Token());
  }
  // Words [first_word, first_word + num_words) come to words [0, num_words) of the tile, in a group
  // of asynchronous copies that the caller ends.
  QUIRE_DEVICE void Start(Shared<uint32_t> tile, const PageWords& pages, int first_word,
                          int num_words) const {
    QUIRE_NO_UNROLL
    for (int word = ThreadIndex() / kPacks; word < num_words; word += BlockThreads() / kPacks) {
      const int64_t from =
          seen_ == 0 ? 0 : source_ + int64_t{first_word + word} * pages.block_tokens;
      const int to = TokenTileIndex<kTokens>(word, Token());
      if (pages.packs) {
        CopyAsync<16>(tile, to, pages.words, from, seen_ * 4);
        continue;
      }
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) {
        const bool one = i < seen_;
        CopyAsync<4>(tile, to + i, pages.words, one ? from + i : 0, one ? 4 : 0);
      }
    }
  }

 private:
  static constexpr int kPacks = kTokens / 4;

  QUIRE_DEVICE static int Token() { return ThreadIndex() % kPacks * 4; }

  int64_t source_ = 0;
  int seen_ = 0;
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_MLA_SOFTMAX_CUH_
