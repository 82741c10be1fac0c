// One warp's part of a split in fp32, where queries or cache are: bound by the multiplications of
// single lanes. For scores a lane has a position of the tile and every second head, for the
// weighted sums it has dims 32 apart of all heads.
#ifndef QUIRE_ATTENTION_CUDA_GQA_DECODE_FMA_CUH_
#define QUIRE_ATTENTION_CUDA_GQA_DECODE_FMA_CUH_

#include <bit>
#include <cstdint>

#include "attention/cuda/decode_plan.cuh"
#include "attention/cuda/gqa_decode_mma.cuh"
#include "attention/cuda/gqa_decode_scores.cuh"
#include "attention/cuda/gqa_decode_tiles.cuh"
#include "attention/cuda/score_rules.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// Number `i` of the kPair in a word.
template <int kPair>
QUIRE_DEVICE float DecodeNumber(uint32_t word, int i) {
  if constexpr (kPair == 1) {
    return std::bit_cast<float>(word);
  } else {
    return i == 0 ? LowBf16(word) : HighBf16(word);
  }
}

template <typename ActType, typename Kv, int kD, int kDv, int kStages>
class FmaDecodeWarp {
 public:
  using Act = ActType;
  using Tiles = DecodeTiles<Kv, kD, kDv, kStages>;
  static constexpr int kKeyDim = kD;
  static constexpr int kQueryStride = kD;
  static constexpr int kScratch = kDecodeHeads * (kDecodeTile + 1);

  QUIRE_DEVICE FmaDecodeWarp(Shared<Act> queries, Shared<float> scratch, const RuleParams& rules,
                             const DecodeItem& item, int first_head, int heads)
      : queries_(queries),
        weights_(scratch),
        rescales_(scratch + kDecodeHeads * kDecodeTile),
        rules_(rules),
        item_(item),
        first_head_(first_head),
        heads_(heads) {}

  QUIRE_DEVICE void Keys(Shared<uint32_t> keys, int position) {
    float products[kOwnHeads] = {};
    for (int row = 0; row < Shape::kKeyRows; ++row) {
      const uint32_t word = keys.Load(Shape::KeyAt(row, Token()));
      QUIRE_UNROLL
      for (int i = 0; i < kPair; ++i) {
        const float key = DecodeNumber<kPair>(word, i);
        QUIRE_UNROLL
        for (int j = 0; j < kOwnHeads; ++j) {
          if (2 * j >= heads_) break;
          const int at = HeadOf(j) * kQueryStride + row * kPair + i;
          products[j] = Fma(ToFloat(queries_.Load(at)), key, products[j]);
        }
      }
    }
    const bool seen = position + Token() >= item_.begin && position + Token() < item_.end;
    QUIRE_UNROLL
    for (int j = 0; j < kOwnHeads; ++j) {
      if (2 * j >= heads_) break;
      const DecodeScores scores(rules_, item_, first_head_ + ExistingHead(HeadOf(j), heads_));
      Soften(j, seen ? scores.Of(products[j], position + Token()) : kUnseenScore);
    }
  }

  QUIRE_DEVICE void Values(Shared<uint32_t> values) {
    QUIRE_UNROLL
    for (int h = 0; h < kDecodeHeads; ++h) {
      if (h >= heads_) break;
      const float rescale = rescales_.Load(h);
      QUIRE_UNROLL
      for (int n = 0; n < kCols; ++n) sums_[h][n] *= rescale;
    }
    for (int row = 0; row < Shape::kValueRows; ++row) {
      uint32_t words[kCols];
      QUIRE_UNROLL
      for (int n = 0; n < kCols; ++n) words[n] = values.Load(Shape::ValueAt(row, ColumnOf(n)));
      QUIRE_UNROLL
      for (int h = 0; h < kDecodeHeads; ++h) {
        if (h >= heads_) break;
        QUIRE_UNROLL
        for (int i = 0; i < kPair; ++i) {
          const float weight = weights_.Load(h * kDecodeTile + row * kPair + i);
          QUIRE_UNROLL
          for (int n = 0; n < kCols; ++n) {
            sums_[h][n] = Fma(weight, DecodeNumber<kPair>(words[n], i), sums_[h][n]);
          }
        }
      }
    }
  }

  QUIRE_DEVICE void Store(Shared<float> most, Shared<float> totals, Shared<float> sums) {
    QUIRE_UNROLL
    for (int j = 0; j < kOwnHeads; ++j) {
      if (Token() == 0) {
        most.Store(HeadOf(j), softmax_[j].max);
        totals.Store(HeadOf(j), softmax_[j].sum);
      }
    }
    QUIRE_UNROLL
    for (int h = 0; h < kDecodeHeads; ++h) {
      QUIRE_UNROLL
      for (int n = 0; n < kCols; ++n) sums.Store(h * Shape::kValueCols + ColumnOf(n), sums_[h][n]);
    }
  }

 private:
  using Shape = typename Tiles::Shape;
  static constexpr int kPair = Shape::kPair;
  static constexpr int kOwnHeads = kDecodeHeads / 2;
  static constexpr int kCols = Shape::kValueCols / kWarpLanes;

  QUIRE_DEVICE static int Token() { return LaneIndex() % kDecodeTile; }
  QUIRE_DEVICE static int HeadOf(int j) { return 2 * j + LaneIndex() / kDecodeTile; }
  QUIRE_DEVICE static int ColumnOf(int n) { return n * kWarpLanes + LaneIndex(); }

  // The lanes that share a head have the same numbers but for the score.
  QUIRE_DEVICE void Soften(int j, float score) {
    SoftmaxRow& softmax = softmax_[j];
    const float rescale = softmax.Raise(WarpReduce<kDecodeTile>(score, Maximum()));
    const float weight = FastExp2(score - softmax.Offset());
    softmax.sum = Fma(softmax.sum, rescale, WarpReduce<kDecodeTile>(weight, Plus()));
    weights_.Store(HeadOf(j) * kDecodeTile + Token(), weight);
    if (Token() == 0) rescales_.Store(HeadOf(j), rescale);
  }

  Shared<Act> queries_;
  Shared<float> weights_;   // [16 heads][16 positions]
  Shared<float> rescales_;  // [16 heads]
  const RuleParams& rules_;
  const DecodeItem& item_;
  int first_head_, heads_;
  SoftmaxRow softmax_[kOwnHeads];
  float sums_[kDecodeHeads][kCols] = {};
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_GQA_DECODE_FMA_CUH_
