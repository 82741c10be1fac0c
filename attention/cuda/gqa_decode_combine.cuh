// The results of a row's splits become the row's: one warp owns a head of a row and adds them up in
// order of position, a prefix first. It streams what the splits have left in L2. Rows of one split
// are done already.
#ifndef QUIRE_ATTENTION_CUDA_GQA_DECODE_COMBINE_CUH_
#define QUIRE_ATTENTION_CUDA_GQA_DECODE_COMBINE_CUH_

#include <cstdint>

#include "attention/cuda/decode_plan.cuh"
#include "attention/cuda/gqa_decode_args.h"
#include "attention/cuda/gqa_decode_scores.cuh"
#include "attention/cuda/score_rules.cuh"
#include "core/cuda/launch_shape.h"
#include "core/cuda/primitives/barrier.cuh"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"
#include "core/cuda/primitives/warp.cuh"

namespace quire::QUIRE_CUDA_TARGET {

// Four neighbouring dims of a head: what one lane adds up.
using Dims4 = Pack<float, 4>;

// Where splits leave their results: weighted sums [item, H, Dv rounded up to 4], then {max, sum}
// [item, H].
struct DecodeWorkspace {
  Global<float> data;
  int64_t max_items;
  int num_heads;
  int value_stride;

  QUIRE_DEVICE int64_t SumsAt(int64_t item, int head) const {
    return (item * num_heads + head) * value_stride;
  }
  QUIRE_DEVICE Dims4 Sums(int64_t item, int head, int d) const {
    return data.LoadPack<4>(SumsAt(item, head) + d);
  }
  QUIRE_DEVICE void SetSums(int64_t item, int head, int d, const Dims4& sums) const {
    data.StorePack<4>(SumsAt(item, head) + d, sums);
  }
  QUIRE_DEVICE int64_t SoftmaxAt(int64_t item, int head) const {
    return SumsAt(max_items, 0) + (item * num_heads + head) * 2;
  }
  QUIRE_DEVICE SoftmaxRow Softmax(int64_t item, int head) const {
    const auto pair = data.LoadPack<2>(SoftmaxAt(item, head));
    return {pair[0], pair[1]};
  }
  QUIRE_DEVICE void SetSoftmax(int64_t item, int head, const SoftmaxRow& softmax) const {
    data.StorePack<2>(SoftmaxAt(item, head), {{softmax.max, softmax.sum}});
  }
};

// out, and what is left to do to a finished sum.
template <typename Act>
struct DecodeOutput {
  Global<Act> out;
  int64_t stride;
  int value_dim;
  bool aligned;  // every four dims to their size
  Global<const float> sink_logits;

  // Divides the sums by the softmax's, a head's sink being the last of its scores.
  QUIRE_DEVICE void Write(int64_t row, int head, int d, SoftmaxRow softmax, Dims4 sums) const {
    const float sink = sink_logits.is_null()
                           ? kUnseenScore
                           : sink_logits.Load<Cache::kReadOnly>(head) * SoftmaxRow::kLog2E;
    const float factor = softmax.Finish(sink);
    Pack<Act, 4> pack;
    QUIRE_UNROLL
    for (int i = 0; i < 4; ++i) pack[i] = Narrow<Act>(sums[i] * factor);
    const Global<Act> at = out + (row * stride + head * value_dim + d);
    if (aligned) {
      at.template StorePack<4>(0, pack);
    } else {
      QUIRE_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (d + i < value_dim) at.Store(i, pack[i]);
      }
    }
  }
};

template <typename Act>
struct DecodeCombineParams {
  DecodePlan plan;
  DecodeWorkspace workspace;
  DecodeOutput<Act> output;
};

inline constexpr int kDecodeCombineThreads = 128;

// One head of one row: its splits are [first, first + count) of the plan's items.
class DecodeCombiner {
 public:
  static constexpr int kPieces = kGqaDecodeMostDim / (4 * kWarpLanes);  // of a lane

  QUIRE_DEVICE DecodeCombiner(const DecodeWorkspace& workspace, int64_t first, int count, int head,
                              int value_dim)
      : workspace_(workspace), first_(first), count_(count), head_(head), value_dim_(value_dim) {
    // The largest of all first, so that every split is rescaled once.
    for (int i = LaneIndex(); i < count; i += kWarpLanes) {
      whole_.max = Maximum()(whole_.max, workspace.Softmax(first + i, head).max);
    }
    whole_.max = WarpReduce(whole_.max, Maximum());
    for (int base = 0; base < count; base += kWarpLanes) AddSplits(base);
  }

  QUIRE_DEVICE const SoftmaxRow& whole() const { return whole_; }
  QUIRE_DEVICE const Dims4& sums(int piece) const { return sums_[piece]; }
  QUIRE_DEVICE static int DimOf(int piece) { return (piece * kWarpLanes + LaneIndex()) * 4; }

 private:
  static constexpr int kTogether = 4;  // splits whose loads are under way at a time

  // The 32 splits from `base` on, what there are of them.
  QUIRE_DEVICE void AddSplits(int base) {
    SoftmaxRow split;
    if (base + LaneIndex() < count_) {
      split = workspace_.Softmax(first_ + base + LaneIndex(), head_);
    }
    const float factor = FastExp2(split.max - whole_.Offset());
    const int count = count_ - base < kWarpLanes ? count_ - base : kWarpLanes;
    for (int begin = 0; begin < count; begin += kTogether) {
      Dims4 dims[kTogether][kPieces] = {};
      QUIRE_UNROLL
      for (int i = 0; i < kTogether; ++i) {
        QUIRE_UNROLL
        for (int n = 0; n < kPieces; ++n) {
          if (begin + i < count && DimOf(n) < value_dim_) {
            dims[i][n] = workspace_.Sums(first_ + base + begin + i, head_, DimOf(n));
          }
        }
      }
      QUIRE_UNROLL
      for (int i = 0; i < kTogether; ++i) {
        // 0 where there is no such split.
        const float rescale = ShuffleFrom(factor, begin + i);
        whole_.sum = Fma(rescale, ShuffleFrom(split.sum, begin + i), whole_.sum);
        QUIRE_UNROLL
        for (int n = 0; n < kPieces; ++n) {
          QUIRE_UNROLL
          for (int j = 0; j < 4; ++j) sums_[n][j] = Fma(rescale, dims[i][n][j], sums_[n][j]);
        }
      }
    }
  }

  const DecodeWorkspace& workspace_;
  int64_t first_;
  int count_, head_, value_dim_;
  SoftmaxRow whole_;
  Dims4 sums_[kPieces] = {};
};

// Warp w of the grid: head w % H of row w / H.
template <typename Act>
QUIRE_KERNEL(kDecodeCombineThreads, 6)
void GqaDecodeCombineKernel(DecodeCombineParams<Act> p) {
  WaitForEarlierKernels();
  LetLaterKernelsBegin();
  const int64_t warp = BlockX() * BlockWarps() + WarpIndex();
  const int64_t row = warp / p.workspace.num_heads;
  const int head = static_cast<int>(warp % p.workspace.num_heads);
  if (row >= p.plan.num_rows) return;
  const auto splits = p.plan.Row(row);
  if (splits[1] == 1) return;
  const DecodeCombiner combiner(p.workspace, splits[0], splits[1], head, p.output.value_dim);
  QUIRE_UNROLL
  for (int n = 0; n < DecodeCombiner::kPieces; ++n) {
    const int d = DecodeCombiner::DimOf(n);
    if (d >= p.output.value_dim) continue;
    p.output.Write(row, head, d, combiner.whole(), combiner.sums(n));
  }
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_ATTENTION_CUDA_GQA_DECODE_COMBINE_CUH_
