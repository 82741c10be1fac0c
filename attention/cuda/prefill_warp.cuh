// What a warp does to its rows of one query head: scores by mma, softmax tile by tile in registers,
// and the sum of values by mma, with probabilities rounded to bf16.
//
// With D = Dv = 128 a tile costs 4 D FLOPs per score; a warp reads 4 words of a fragment at once,
// for 2 kRowTiles products: shared memory bounds it where kRowTiles is 1, the products where 2.
//
// Law: a tile of which a row sees nothing changes no bit of it. What a row does not see is masked:
// scores by -infinity, and values, where one of them might be no number, by zero (AccumulateEach).
#ifndef QUIRE_ATTENTION_CUDA_PREFILL_WARP_CUH_
#define QUIRE_ATTENTION_CUDA_PREFILL_WARP_CUH_

#include <cstdint>

#include "attention/cuda/row_keys.cuh"
#include "attention/cuda/row_ranges.cuh"
#include "attention/cuda/score_rules.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/matrix.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/shared.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// A block of 4 warps owns kRows rows; keys come in tiles of kTileTokens positions. D and Dv are
// padded to kKey and kValue.
template <int kKey, int kValue, int kTileTokens, int kTiles>
struct PrefillConfig {
  static constexpr int kKeyDim = kKey;      // a multiple of 16
  static constexpr int kValueDim = kValue;  // a multiple of 32
  static constexpr int kTokens = kTileTokens;
  static constexpr int kRowTiles = kTiles;  // of 16 rows, of a warp
  static constexpr int kWarpRows = 16 * kRowTiles;
  static constexpr int kThreads = 4 * kWarpLanes;
  static constexpr int kRows = 4 * kWarpRows;
  // Queries stay in registers, or where those do not reach in shared memory.
  static constexpr bool kSharedQueries = kKey > 128;
  static constexpr int kWarpQueryWords = kSharedQueries ? kWarpRows * kKey / 2 : 0;
  static constexpr size_t SharedQueryBytes() { return SharedBytes<uint32_t>(4 * kWarpQueryWords); }
};

// The rows of a block, at consecutive positions from `first_position` on.
struct PrefillRows {
  int rows;
  int first_row;  // of the batch
  int first_position;
};

template <typename Config, typename Layout, bool kRules>
class PrefillWarp {
 public:
  QUIRE_DEVICE PrefillWarp(SharedMemory& memory, const RuleParams& rules, int head,
                           const PrefillRows& rows)
      : rules_(rules, head),
        scale_(rules.scale * SoftmaxRow::kLog2E),
        rows_(rows),
        shared_q_(memory.Take<uint32_t>(4 * Config::kWarpQueryWords) +
                  WarpIndex() * Config::kWarpQueryWords) {
    const int left = rows.rows - FirstRow();
    count_ = left < Config::kWarpRows ? left : Config::kWarpRows;
  }

  // q [rows of the batch, D] of the head begins at column `column`.
  QUIRE_DEVICE void LoadQueries(const RowMatrix<const bf16>& q, int64_t column, int head_dim) {
    QUIRE_UNROLL
    for (int i = 0; i < Config::kRowTiles; ++i) {
      QUIRE_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        Pack<uint32_t, 4> a;
        QUIRE_UNROLL
        for (int r = 0; r < 4; ++r) {
          const int row = RowOf(i, r % 2), d = 16 * step + r / 2 * 8 + LaneIndex() % 4 * 2;
          const bool there = row < rows_.rows && d < head_dim;
          a[r] = there ? LoadPair(q, (rows_.first_row + row) * q.stride + column + d) : 0;
        }
        if constexpr (Config::kSharedQueries) {
          shared_q_.template StorePack<4>(QueryAt(i, step), a);
        } else {
          q_[i][step] = a;
        }
      }
    }
  }

  // Keys and values of the positions [begin, begin + kTokens).
  QUIRE_DEVICE void Attend(Shared<uint32_t> keys, Shared<uint32_t> values, int begin,
                           const KeyRange& range) {
    if (count_ <= 0) return;
    const int first = rows_.first_position + FirstRow(), last = first + count_ - 1;
    const KeySpan some = range.OfRows(first, last), each = range.OfEachRow(first, last);
    // (Registers hold the scores of one run, and no more.)
    QUIRE_NO_UNROLL
    for (int run = 0; run < Config::kTokens / kRun; ++run, begin += kRun) {
      const int end = begin + kRun;
      if (begin >= some.end || end <= some.begin) continue;
      const bool whole = count_ == Config::kWarpRows && begin >= each.begin && end <= each.end;
      AttendRun(keys, values, run, begin, range, whole);
    }
  }

  // out [rows of the batch, Dv] of the head begins at column `column`.
  QUIRE_DEVICE void Store(const RowMatrix<bf16>& out, int64_t column, int value_dim) {
    if (count_ <= 0) return;
    QUIRE_UNROLL
    for (int i = 0; i < Config::kRowTiles; ++i) {
      QUIRE_UNROLL
      for (int half = 0; half < 2; ++half) {
        SoftmaxRow& softmax = softmax_[i][half];
        softmax.sum = WarpReduce<4>(softmax.sum, Plus());
        const float factor = softmax.Finish(rules_.Sink());
        const int row = RowOf(i, half);
        if (row >= rows_.rows) continue;
        const int64_t begin = (rows_.first_row + row) * out.stride + column;
        QUIRE_UNROLL
        for (int dims = 0; dims < Config::kValueDim / 32; ++dims) {
          float c[4][2];
          QUIRE_UNROLL
          for (int j = 0; j < 4; ++j) {
            c[j][0] = sums_[i][4 * dims + j][2 * half] * factor;
            c[j][1] = sums_[i][4 * dims + j][2 * half + 1] * factor;
          }
          Layout::VisitDims(dims, c, [&]<int kCount>(int d, const float(&numbers)[kCount]) {
            StoreRun(out, begin, d, value_dim, numbers);
          });
        }
      }
    }
  }

 private:
  static constexpr int kRun = 32;  // tokens between two looks at the softmax
  static constexpr int kSteps = Config::kKeyDim / 16;
  // Of C fragments, [row tile][fragment of 8 tokens].
  using Scores = float[Config::kRowTiles][kRun / 8][4];

  QUIRE_DEVICE static int FirstRow() { return WarpIndex() * Config::kWarpRows; }
  // Of the block: that of this lane in half `half` of the fragments of row tile `i`.
  QUIRE_DEVICE static int RowOf(int i, int half) {
    return FirstRow() + 16 * i + 8 * half + LaneIndex() / 4;
  }
  QUIRE_DEVICE KeySpan SpanOf(int row, const KeyRange& range) const {
    return row < rows_.rows ? range.Of(rows_.first_position + row) : KeySpan{0, 0};
  }

  QUIRE_DEVICE static uint32_t LoadPair(const RowMatrix<const bf16>& q, int64_t at) {
    if (q.pairs) {
      const auto pair = q.data.template LoadPack<2>(at);
      return pair[0].bits | (uint32_t{pair[1].bits} << 16);
    }
    return q.data.Load(at).bits | (uint32_t{q.data.Load(at + 1).bits} << 16);
  }
  template <int kCount>
  QUIRE_DEVICE static void StoreRun(const RowMatrix<bf16>& out, int64_t begin, int d, int value_dim,
                                    const float (&numbers)[kCount]) {
    if (out.chunks && d + kCount <= value_dim) {
      Pack<bf16, kCount> pack;
      QUIRE_UNROLL
      for (int j = 0; j < kCount; ++j) pack[j] = Narrow<bf16>(numbers[j]);
      out.data.template StorePack<kCount>(begin + d, pack);
      return;
    }
    QUIRE_UNROLL
    for (int j = 0; j < kCount; ++j) {
      if (d + j < value_dim) out.data.Store(begin + d + j, Narrow<bf16>(numbers[j]));
    }
  }

  // Run `run` of a tile, which begins at `begin`; all rows see all of it where `whole`.
  QUIRE_DEVICE void AttendRun(Shared<uint32_t> keys, Shared<uint32_t> values, int run, int begin,
                              const KeyRange& range, bool whole) {
    Scores scores;
    Multiply(keys, run, scores);
    // (Rules cost more than the mask does.)
    if (!kRules && whole) {
      Weigh<false>(scores, begin, range);
    } else {
      Weigh<true>(scores, begin, range);
    }
    if (!whole && AnyLane(HasNonFinite(values, run))) {
      AccumulateEach(scores, values, run, begin, range);
    } else {
      Accumulate(scores, values, run);
    }
  }

  // A lane reads what it has written itself.
  QUIRE_DEVICE static int QueryAt(int i, int step) {
    return ((i * kSteps + step) * kWarpLanes + LaneIndex()) * 4;
  }
  QUIRE_DEVICE Pack<uint32_t, 4> Query(int i, int step) const {
    if constexpr (Config::kSharedQueries) {
      return shared_q_.template LoadPack<4>(QueryAt(i, step));
    } else {
      return q_[i][step];
    }
  }

  // scores = q k^T.
  QUIRE_DEVICE void Multiply(Shared<uint32_t> keys, int run, Scores& scores) const {
    QUIRE_UNROLL
    for (int i = 0; i < Config::kRowTiles; ++i) {
      QUIRE_UNROLL
      for (int j = 0; j < 16; ++j) scores[i][j / 4][j % 4] = 0.0F;
    }
    QUIRE_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      uint32_t fragments[4][2];
      Layout::LoadKeys(keys, run, step, fragments);
      QUIRE_UNROLL
      for (int i = 0; i < Config::kRowTiles; ++i) {
        const Pack<uint32_t, 4> a = Query(i, step);
        QUIRE_UNROLL
        for (int j = 0; j < 4; ++j) MmaBf16(scores[i][j], a.values, fragments[j]);
      }
    }
  }

  // Turns scores into what they weigh, and scales what has been summed up.
  template <bool kMasked>
  QUIRE_DEVICE void Weigh(Scores& scores, int begin, const KeyRange& range) {
    QUIRE_UNROLL
    for (int i = 0; i < Config::kRowTiles; ++i) {
      const float low = WeighRow<kMasked>(scores[i], i, 0, begin, range);
      const float high = WeighRow<kMasked>(scores[i], i, 1, begin, range);
      if (!AnyLane(low != 1.0F || high != 1.0F)) continue;
      QUIRE_UNROLL
      for (int j = 0; j < Config::kValueDim / 8; ++j) {
        sums_[i][j][0] *= low;
        sums_[i][j][1] *= low;
        sums_[i][j][2] *= high;
        sums_[i][j][3] *= high;
      }
    }
  }
  template <bool kMasked>
  QUIRE_DEVICE float WeighRow(float (&scores)[kRun / 8][4], int i, int half, int begin,
                              const KeyRange& range) {
    const int row = RowOf(i, half), position = rows_.first_position + row;
    const KeySpan span = SpanOf(row, range);
    float most = kUnseenScore;
    VisitTokens(scores, half, begin, [&](float& score, int token) {
      if (kMasked && !span.Holds(token)) {
        score = kUnseenScore;
      } else if constexpr (kRules) {
        score = rules_.Apply(score, rows_.first_row + row, token, range.Distance(position, token));
      } else {
        score *= scale_;
      }
      most = Maximum()(most, score);
    });
    SoftmaxRow& softmax = softmax_[i][half];
    const float factor = softmax.Raise(WarpReduce<4>(most, Maximum()));
    const float offset = softmax.Offset();
    float sum = 0.0F;
    VisitTokens(scores, half, begin, [&](float& score, int /*token*/) {
      score = FastExp2(score - offset);
      sum += score;
    });
    softmax.sum = Fma(softmax.sum, factor, sum);
    return factor;
  }
  // visit(score, position) for those of this lane, in order of position.
  template <typename Visit>
  QUIRE_DEVICE static void VisitTokens(float (&scores)[kRun / 8][4], int half, int begin,
                                       Visit visit) {
    QUIRE_UNROLL
    for (int j = 0; j < 8; ++j) {
      visit(scores[j % 4][2 * half + j / 4], begin + 8 * (LaneIndex() % 4) + j);
    }
  }

  // visit(a of each row tile, fragments of values, the first of 4, this lane's first token of 4).
  template <typename Visit>
  QUIRE_DEVICE static void VisitValues(const Scores& weights, Shared<uint32_t> values, int run,
                                       Visit visit) {
    QUIRE_UNROLL
    for (int step = 0; step < kRun / 16; ++step) {
      uint32_t a[Config::kRowTiles][4];
      QUIRE_UNROLL
      for (int i = 0; i < Config::kRowTiles; ++i) {
        QUIRE_UNROLL
        for (int r = 0; r < 4; ++r) {
          const int j = r / 2 * 2, c = r % 2 * 2 + step;
          a[i][r] = PackBf16(weights[i][j][c], weights[i][j + 1][c]);
        }
      }
      QUIRE_UNROLL
      for (int dims = 0; dims < Config::kValueDim / 32; ++dims) {
        uint32_t fragments[4][2];
        Layout::LoadValues(values, run, step, dims, fragments);
        visit(a, fragments, 4 * dims, 8 * (LaneIndex() % 4) + 4 * step);
      }
    }
  }
  QUIRE_DEVICE void Accumulate(const Scores& weights, Shared<uint32_t> values, int run) {
    VisitValues(weights, values, run, [&](const auto& a, const auto& fragments, int first, int) {
      QUIRE_UNROLL
      for (int j = 0; j < 4; ++j) {
        QUIRE_UNROLL
        for (int i = 0; i < Config::kRowTiles; ++i) {
          MmaBf16(sums_[i][first + j], a[i], fragments[j]);
        }
      }
    });
  }
  // Row by row, with zeros for the values that it does not see: a weight of zero does not hide a
  // value that is no number. The products are those of Accumulate, so that bits are too.
  QUIRE_DEVICE void AccumulateEach(const Scores& weights, Shared<uint32_t> values, int run,
                                   int begin, const KeyRange& range) {
    QUIRE_NO_UNROLL
    for (int row = 0; row < 16; ++row) {
      VisitValues(weights, values, run,
                  [&](const auto& a, const auto& fragments, int first, int token) {
                    QUIRE_UNROLL
                    for (int i = 0; i < Config::kRowTiles; ++i) {
                      const KeySpan span = SpanOf(FirstRow() + 16 * i + row, range);
                      const uint32_t low = PairMask(span, begin + token);
                      const uint32_t high = PairMask(span, begin + token + 2);
                      QUIRE_UNROLL
                      for (int j = 0; j < 4; ++j) {
                        float(&sums)[4] = sums_[i][first + j];
                        float c[4] = {sums[0], sums[1], sums[2], sums[3]};
                        const uint32_t seen[2] = {fragments[j][0] & low, fragments[j][1] & high};
                        MmaBf16(c, a[i], seen);
                        QUIRE_UNROLL
                        for (int r = 0; r < 4; ++r) {
                          if (LaneIndex() / 4 + r / 2 * 8 == row) sums[r] = c[r];
                        }
                      }
                    }
                  });
    }
  }
  // Of two tokens' numbers in a word.
  QUIRE_DEVICE static uint32_t PairMask(KeySpan span, int position) {
    return (span.Holds(position) ? 0xffffU : 0U) | (span.Holds(position + 1) ? 0xffff0000U : 0U);
  }
  // Among what this lane holds of a run's values.
  QUIRE_DEVICE static bool HasNonFinite(Shared<uint32_t> values, int run) {
    bool found = false;
    QUIRE_NO_UNROLL
    for (int step = 0; step < kRun / 16; ++step) {
      QUIRE_NO_UNROLL
      for (int dims = 0; dims < Config::kValueDim / 32; ++dims) {
        uint32_t fragments[4][2];
        Layout::LoadValues(values, run, step, dims, fragments);
        QUIRE_UNROLL
        for (int j = 0; j < 8; ++j) {
          const uint32_t word = fragments[j / 2][j % 2];
          found |= (word & 0x7f80U) == 0x7f80U || (word & 0x7f800000U) == 0x7f800000U;
        }
      }
    }
    return found;
  }

  PromptRules rules_;
  float scale_;
  PrefillRows rows_;
  int count_;  // of the warp's rows, those that exist; none where it is not positive
  // A fragments, in one of the two places.
  Shared<uint32_t> shared_q_;
  Pack<uint32_t, 4> q_[Config::kRowTiles][Config::kSharedQueries ? 1 : kSteps];
  float sums_[Config::kRowTiles][Config::kValueDim / 8][4] = {};
  SoftmaxRow softmax_[Config::kRowTiles][2];
};

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_PREFILL_WARP_CUH_
