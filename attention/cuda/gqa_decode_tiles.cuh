// Keys and values on their way through shared memory. A warp has rings of its own: kStages tiles of
// keys and as many of values, of 16 positions each, which it fills by asynchronous copies and
// nobody else reads. So warps meet at a split's end only, and copies of all tiles but the one at
// hand are under way all the time: that is what decode attention lives on. Where there is no room
// for a tile of both, kStages is 0: keys and values take turns in one place. No bit depends on it.
//
// Everything is words of 4 bytes, kPair numbers each, as in a page (kvcache/kv_layout.h): a tile of
// keys is [D / kPair][16 positions], of values [16 / kPair][Dv]. Pieces of 4 words are permuted
// within a row, so that the lanes that load a fragment touch 32 banks.
#ifndef QUIRE_ATTENTION_CUDA_GQA_DECODE_TILES_CUH_
#define QUIRE_ATTENTION_CUDA_GQA_DECODE_TILES_CUH_

#include <cstdint>

#include "attention/cuda/decode_plan.cuh"
#include "attention/cuda/gqa_decode_args.h"
#include "core/cuda/primitives/async_copy.cuh"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kDecodeWarps = 4;
inline constexpr int kDecodeThreads = kDecodeWarps * kWarpLanes;
inline constexpr int kDecodeTile = kGqaDecodeTile;                // positions of a tile
inline constexpr int kDecodeStride = kDecodeTile * kDecodeWarps;  // from a warp's tile to its next
inline constexpr int kPieceWords = 4;                             // 16 bytes

// The pages of one layer.
struct DecodePages {
  Global<const uint32_t> words;  // page 0
  int64_t page_words;            // from page to page
  KvPageLayout layout;
};

// What the rings take for heads of up to kD and kDv numbers of type Kv.
template <typename Kv, int kD, int kDv, int kStages>
struct DecodeTileShape {
  static constexpr int kPair = 4 / static_cast<int>(sizeof(Kv));
  static constexpr int kKeyRows = kD / kPair;
  static constexpr int kValueRows = kDecodeTile / kPair;
  static constexpr int kValueCols = (kDv + 31) / 32 * 32;
  static constexpr int kKeyWords = kKeyRows * kDecodeTile;
  static constexpr int kValueWords = kValueRows * kValueCols;
  static constexpr int kStageBytes = (kKeyWords + kValueWords) * 4 * kDecodeWarps;
  // More than these serve nobody: small ones share a multiprocessor with two or three blocks.
  static constexpr int kMostStages = kStageBytes <= (24 << 10) ? 4 : 3;
  static constexpr int kRingWords =  // of a warp
      kStages > 0               ? (kKeyWords + kValueWords) * kStages
      : kKeyWords > kValueWords ? kKeyWords
                                : kValueWords;

  // Where word (row, position) of a tile of keys lies, and word (row, d) of one of values.
  QUIRE_DEVICE static int KeyAt(int row, int position) {
    const int piece = (position / kPieceWords) ^ (row & 2);
    return row * kDecodeTile + piece * kPieceWords + position % kPieceWords;
  }
  QUIRE_DEVICE static int ValueAt(int row, int d) {
    const int piece = (d / kPieceWords) ^ (row & 6);
    return row * kValueCols + piece * kPieceWords + d % kPieceWords;
  }
};

// The tiles of one item and KV head that are this warp's: those that begin kDecodeStride apart,
// from kDecodeTile times the warp's index into the split on, as far as the item sees some of their
// positions. What it does not see is zeros, and is not read: it may be NaN, or never written.
//
//   tiles.Begin();
//   for (int i = 0; i < tiles.size(); ++i) {
//     const Shared<uint32_t> keys = tiles.Keys(i);  ...  tiles.KeysDone(i);
//     const Shared<uint32_t> values = tiles.Values(i);  ...  tiles.ValuesDone(i);
//   }
//
// All lanes make all calls.
template <typename Kv, int kD, int kDv, int kStages>
class DecodeTiles {
 public:
  using Shape = DecodeTileShape<Kv, kD, kDv, kStages>;

  // item.first_page counts in `table`. `ring` [Shape::kRingWords].
  QUIRE_DEVICE DecodeTiles(const DecodePages& pages, Global<const int32_t> table,
                           const DecodeItem& item, int kv_head, Shared<uint32_t> ring)
      : pages_(pages), ring_(ring), begin_(item.begin), end_(item.end) {
    const KvPageLayout& layout = pages.layout;
    keys_at_ = layout.KeyOffset(kv_head, 0, 0) / kPair;
    values_at_ = layout.ValueOffset(kv_head, 0, 0) / kPair;
    split_begin_ = item.begin / kGqaDecodeSplit * kGqaDecodeSplit;
    // A split has at most 32 pages, one a lane. Those that are not seen may be wild.
    const int page_begin = split_begin_ + LaneIndex() * layout.block_tokens;
    if (page_begin < end_ && page_begin + layout.block_tokens > begin_) {
      page_ = table.Load<Cache::kReadOnly>(item.first_page + LaneIndex());
    }
    first_ = split_begin_ + WarpIndex() * kDecodeTile;
    const int unseen = begin_ - first_ - kDecodeTile;
    if (unseen >= 0) first_ += (unseen / kDecodeStride + 1) * kDecodeStride;
    if (first_ < end_) size_ = (end_ - first_ + kDecodeStride - 1) / kDecodeStride;
  }

  QUIRE_DEVICE int size() const { return size_; }
  // The position that tile `i` begins at.
  QUIRE_DEVICE int Position(int i) const { return first_ + i * kDecodeStride; }

  QUIRE_DEVICE void Begin() {
    if constexpr (kTakeTurns) CopyKeys(0);
    QUIRE_UNROLL
    for (int i = 0; i < kStages; ++i) {
      CopyKeys(i);
      CopyValues(i);
    }
  }
  QUIRE_DEVICE Shared<uint32_t> Keys(int i) {
    Wait();
    return KeyStage(i);
  }
  QUIRE_DEVICE Shared<uint32_t> Values(int i) {
    Wait();
    return ValueStage(i);
  }
  // Behind the last look at them.
  QUIRE_DEVICE void KeysDone(int i) {
    WarpBarrier();
    if constexpr (kTakeTurns) {
      CopyValues(i);
    } else {
      CopyKeys(i + kStages);
    }
  }
  QUIRE_DEVICE void ValuesDone(int i) {
    WarpBarrier();
    if constexpr (kTakeTurns) {
      CopyKeys(i + 1);
    } else {
      CopyValues(i + kStages);
    }
  }

 private:
  static constexpr int kPair = Shape::kPair;
  static constexpr bool kTakeTurns = kStages == 0;
  static constexpr int kDepth = kTakeTurns ? 1 : kStages;

  // Every copy of a tile is a group, though there be no such tile: the oldest is wanted.
  QUIRE_DEVICE void Wait() {
    WaitForCopies<kTakeTurns ? 0 : 2 * kDepth - 1>();
    WarpBarrier();
  }
  QUIRE_DEVICE Shared<uint32_t> KeyStage(int i) const {
    return ring_ + i % kDepth * Shape::kKeyWords;
  }
  QUIRE_DEVICE Shared<uint32_t> ValueStage(int i) const {
    return ring_ + (kStages * Shape::kKeyWords + i % kDepth * Shape::kValueWords);
  }
  QUIRE_DEVICE Global<const uint32_t> PageAt(int position) const {
    const int page = ShuffleFrom(page_, (position - split_begin_) / pages_.layout.block_tokens);
    return pages_.words + page * pages_.page_words;
  }
  QUIRE_DEVICE bool Sees(int position) const { return position >= begin_ && position < end_; }
  QUIRE_DEVICE bool SeesAll(int from, int to) const { return from >= begin_ && to <= end_; }
  QUIRE_DEVICE bool SeesNone(int from, int to) const { return from >= end_ || to <= begin_; }

  QUIRE_DEVICE void CopyKeys(int i) {
    if (i < size_) {
      const int position = Position(i), block_tokens = pages_.layout.block_tokens;
      const Global<const uint32_t> keys = PageAt(position) + keys_at_ + position % block_tokens;
      const Shared<uint32_t> stage = KeyStage(i);
      const int rows = pages_.layout.head_dim / kPair;
      // Four lanes a row.
      const int column = LaneIndex() % 4 * kPieceWords;
      const int from = position + column, to = from + kPieceWords;
      const bool all = SeesAll(from, to), some = !all && !SeesNone(from, to);
      QUIRE_UNROLL
      for (int first_row = 0; first_row < Shape::kKeyRows; first_row += 8) {
        const int row = first_row + LaneIndex() / 4;
        const int target = Shape::KeyAt(row, column), source = row * block_tokens + column;
        if (some && row < rows) {
          QUIRE_UNROLL
          for (int j = 0; j < kPieceWords; ++j) {
            CopyAsync<4>(stage, target + j, keys, source + j, Sees(from + j) ? 4 : 0);
          }
        } else {
          const bool there = all && row < rows;
          CopyAsync<16>(stage, target, keys, there ? source : 0, there ? 16 : 0);
        }
      }
    }
    CommitCopies();
  }

  QUIRE_DEVICE void CopyValues(int i) {
    if (i < size_) {
      const int position = Position(i), dim = pages_.layout.value_dim;
      const int64_t token = position % pages_.layout.block_tokens;
      const Global<const uint32_t> values = PageAt(position) + values_at_ + token / kPair * dim;
      const Shared<uint32_t> stage = ValueStage(i);
      constexpr int kPieces = Shape::kValueCols / kPieceWords;  // of a row
      QUIRE_UNROLL
      for (int first = 0; first < Shape::kValueRows * kPieces; first += kWarpLanes) {
        const int row = (first + LaneIndex()) / kPieces;
        const int d = (first + LaneIndex()) % kPieces * kPieceWords;
        const int from = position + row * kPair;
        if (kPair > 1 && Sees(from) != Sees(from + 1)) continue;
        const int words = Sees(from) && d < dim ? dim - d : 0;
        CopyPiece(stage, Shape::ValueAt(row, d), values, words > 0 ? row * dim + d : 0, words);
      }
      if constexpr (kPair > 1) {
        if (begin_ % 2 != 0 && Sees(begin_) && begin_ > position &&
            begin_ < position + kDecodeTile) {
          CopyHalfRow(stage, values, (begin_ - position) / 2, /*odd=*/1);
        }
        if (end_ % 2 != 0 && end_ > position && end_ < position + kDecodeTile) {
          CopyHalfRow(stage, values, (end_ - position) / 2, /*odd=*/0);
        }
      }
    }
    CommitCopies();
  }
  // The first `words` of a piece, then zeros. Rows of a width that is no multiple of 4 are aligned
  // to 8 bytes alone.
  QUIRE_DEVICE void CopyPiece(Shared<uint32_t> stage, int target, Global<const uint32_t> values,
                              int source, int words) const {
    if (pages_.layout.value_dim % kPieceWords == 0) {
      CopyAsync<16>(stage, target, values, source, words > 0 ? 16 : 0);
      return;
    }
    CopyAsync<8>(stage, target, values, source, words > 0 ? 8 : 0);
    CopyAsync<8>(stage, target + 2, values, words > 2 ? source + 2 : 0, words > 2 ? 8 : 0);
  }
  // Of a row of pairs the even or the odd position, and zeros in place of the other, which is not
  // seen. At an edge of what is seen alone, so at most twice an item.
  QUIRE_DEVICE void CopyHalfRow(Shared<uint32_t> stage, Global<const uint32_t> values, int row,
                                int odd) const {
    const int dim = pages_.layout.value_dim;
    const Global<const uint16_t> halves(reinterpret_cast<const uint16_t*>(values.data()));
    for (int d = LaneIndex() * kPieceWords; d < Shape::kValueCols; d += kWarpLanes * kPieceWords) {
      Pack<uint32_t, kPieceWords> pack;
      QUIRE_UNROLL
      for (int j = 0; j < kPieceWords; ++j) {
        const uint32_t half = d + j < dim ? halves.Load((row * dim + d + j) * 2 + odd) : 0;
        pack[j] = half << (16 * odd);
      }
      stage.StorePack<kPieceWords>(Shape::ValueAt(row, d), pack);
    }
  }

  const DecodePages& pages_;
  Shared<uint32_t> ring_;
  int64_t keys_at_, values_at_;  // of the head, in a page
  int begin_, end_;
  int split_begin_;
  int page_ = 0;  // this lane's
  int first_;     // position of tile 0
  int size_ = 0;
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_GQA_DECODE_TILES_CUH_
