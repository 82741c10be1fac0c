// One warp's part of a split, in bf16 on tensor cores: the query heads of a KV head, up to 16, are
// the rows of m16n8k16 products, and what is loaded from a tile are their other operands as they
// stand in a page: no ldmatrix, no transposition. Per byte of the cache it does 16 FLOPs.
//
// With g = lane / 4 and t = lane % 4: column g of the two products of q k^T is positions 2g and
// 2g + 1 of the tile, so a lane ends with the scores of positions 4t .. 4t + 3, which are its share
// of p as the left operand of p v. There column g of four products is dims 4g .. 4g + 3 of 32.
#ifndef QUIRE_ATTENTION_CUDA_GQA_DECODE_MMA_CUH_
#define QUIRE_ATTENTION_CUDA_GQA_DECODE_MMA_CUH_

#include <cstdint>

#include "attention/cuda/decode_plan.cuh"
#include "attention/cuda/gqa_decode_scores.cuh"
#include "attention/cuda/gqa_decode_tiles.cuh"
#include "attention/cuda/score_rules.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/matrix.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr int kDecodeHeads = 16;  // query heads of a block

template <int kD, int kDv, int kStages>
class MmaDecodeWarp {
 public:
  using Act = bf16;
  using Tiles = DecodeTiles<bf16, kD, kDv, kStages>;
  static constexpr int kKeyDim = kD;
  static constexpr int kQueryStride = kD + 8;  // rows that ldmatrix reads lie in different banks
  static constexpr int kScratch = 0;           // fp32 numbers of shared memory a warp

  // queries [16][kQueryStride], zeros from row `heads` on and from D on.
  QUIRE_DEVICE MmaDecodeWarp(Shared<bf16> queries, Shared<float> /*scratch*/,
                             const RuleParams& rules, const DecodeItem& item, int first_head,
                             int heads)
      : queries_(queries),
        begin_(item.begin),
        end_(item.end),
        scores_{{rules, item, first_head + ExistingHead(Group(), heads)},
                {rules, item, first_head + ExistingHead(Group() + 8, heads)}} {
    if constexpr (kHoldQueries) {
      QUIRE_UNROLL
      for (int k = 0; k < kD / 16; ++k) LoadQueries(k, held_[k]);
    }
  }

  // The scores of a tile that begins at `position`, and what they change.
  QUIRE_DEVICE void Keys(Shared<uint32_t> keys, int position) {
    using Shape = typename Tiles::Shape;
    float scores[2][4] = {};
    QUIRE_UNROLL
    for (int k = 0; k < kD / 16; ++k) {
      if constexpr (!kHoldQueries) LoadQueries(k, held_[0]);
      const auto low = keys.LoadPack<2>(Shape::KeyAt(8 * k + Column(), 2 * Group()));
      const auto high = keys.LoadPack<2>(Shape::KeyAt(8 * k + 4 + Column(), 2 * Group()));
      QUIRE_UNROLL
      for (int j = 0; j < 2; ++j) {
        const uint32_t b[2] = {low[j], high[j]};
        MmaBf16(scores[j], held_[kHoldQueries ? k : 0], b);
      }
    }
    QUIRE_UNROLL
    for (int r = 0; r < 2; ++r) Soften(r, position + 4 * Column(), scores);
  }

  QUIRE_DEVICE void Values(Shared<uint32_t> values) {
    using Shape = typename Tiles::Shape;
    QUIRE_UNROLL
    for (int n = 0; n < kProducts; ++n) {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) sums_[n][i] *= rescale_[i / 2];
    }
    QUIRE_UNROLL
    for (int n = 0; n < kProducts; n += 4) {
      const auto low = values.LoadPack<4>(Shape::ValueAt(2 * Column(), 8 * n + 4 * Group()));
      const auto high = values.LoadPack<4>(Shape::ValueAt(2 * Column() + 1, 8 * n + 4 * Group()));
      QUIRE_UNROLL
      for (int j = 0; j < 4; ++j) {
        const uint32_t b[2] = {low[j], high[j]};
        MmaBf16(sums_[n + j], weights_, b);
      }
    }
  }

  // Largest scores and sums of weights [16], weighted sums [16][Shape::kValueCols].
  QUIRE_DEVICE void Store(Shared<float> most, Shared<float> totals, Shared<float> sums) {
    QUIRE_UNROLL
    for (int r = 0; r < 2; ++r) {
      const int head = Group() + 8 * r;
      const float total = WarpReduce<4>(softmax_[r].sum, Plus());
      if (Column() == 0) {
        most.Store(head, softmax_[r].max);
        totals.Store(head, total);
      }
      QUIRE_UNROLL
      for (int n = 0; n < kProducts; n += 4) {
        QUIRE_UNROLL
        for (int b = 0; b < 2; ++b) {
          const int at = head * Tiles::Shape::kValueCols + 8 * n + 8 * Column() + 4 * b;
          const int i = 2 * r + b;
          sums.StorePack<4>(at, {{sums_[n][i], sums_[n + 1][i], sums_[n + 2][i], sums_[n + 3][i]}});
        }
      }
    }
  }

 private:
  static constexpr int kProducts = Tiles::Shape::kValueCols / 8;
  // Registers for the queries, where the sums leave them.
  static constexpr bool kHoldQueries = kD <= 128;

  QUIRE_DEVICE static int Group() { return LaneIndex() / 4; }
  QUIRE_DEVICE static int Column() { return LaneIndex() % 4; }

  QUIRE_DEVICE void LoadQueries(int k, uint32_t (&a)[4]) const {
    LoadMatrix<4>(a, queries_, LaneIndex() % 16 * kQueryStride + 16 * k + LaneIndex() / 16 * 8);
  }

  // Scores of row g + 8 r at `position` and the three behind it become weights.
  QUIRE_DEVICE void Soften(int r, int position, const float (&products)[2][4]) {
    float scores[4];
    float most = kUnseenScore;
    QUIRE_UNROLL
    for (int i = 0; i < 4; ++i) {
      const bool seen = position + i >= begin_ && position + i < end_;
      const float product = products[i % 2][2 * r + i / 2];
      scores[i] = seen ? scores_[r].Of(product, position + i) : kUnseenScore;
      most = Maximum()(most, scores[i]);
    }
    rescale_[r] = softmax_[r].Raise(WarpReduce<4>(most, Maximum()));
    softmax_[r].sum *= rescale_[r];
    const float base = softmax_[r].Offset();
    QUIRE_UNROLL
    for (int half = 0; half < 2; ++half) {
      // The total is of what values are multiplied by, roundings and all.
      const uint32_t pair =
          PackBf16(FastExp2(scores[2 * half] - base), FastExp2(scores[2 * half + 1] - base));
      softmax_[r].sum += LowBf16(pair);
      softmax_[r].sum += HighBf16(pair);
      weights_[2 * half + r] = pair;
    }
  }

  Shared<bf16> queries_;
  int begin_, end_;
  DecodeScores scores_[2];  // of rows g and g + 8, as all pairs below
  uint32_t held_[kHoldQueries ? kD / 16 : 1][4];
  SoftmaxRow softmax_[2];  // sums of this lane's positions
  float rescale_[2];
  uint32_t weights_[4];
  float sums_[kProducts][4] = {};
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_GQA_DECODE_MMA_CUH_
