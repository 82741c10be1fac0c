// The steps of the online softmax on one row: scores of a tile to probabilities, states of splits
// merged, the result stored.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_GQA_SOFTMAX_H_
#define QUIRE_ATTENTION_CPU_KERNELS_GQA_SOFTMAX_H_

#include "attention/cpu/kernels/gqa_work.h"
#include "core/cpu/simd/elements.h"
#include "core/cpu/simd/special.h"

namespace quire::QUIRE_ISA {

// 0, 1, 2, ...
inline Vec LaneIndices() {
  static constexpr float kIndices[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  static_assert(kLanes <= 16);
  return Load(kIndices);
}

// Columns [begin, end) of a row of the tile, from q k^T to exponents of two by ScoreKeysArgs.
inline void ApplyScoreRules(const Work& w, int64_t row, int64_t tile, int64_t begin, int64_t end) {
  const GqaItem& item = w.item;
  const ScoreKeysArgs& rules = item.scores;
  const int64_t query = row / item.heads;
  const int64_t head = row % item.heads;
  const float* bias = rules.bias == nullptr ? nullptr
                                            : rules.bias + head * rules.bias_head_stride +
                                                  query * rules.bias_row_stride + tile;
  const auto distance = static_cast<float>(tile - w.DistanceOrigin(query));
  float* s = w.s + row * kTileTokens;
  for (int64_t c = begin / kLanes * kLanes; c < end; c += kLanes) {
    Vec x = Mul(Load(s + c), Broadcast(item.scale));
    if (rules.softcap > 0) {
      const Vec cap = Broadcast(rules.softcap);
      x = Mul(cap, Tanh(Div(x, cap)));
    }
    if (rules.alibi_slopes != nullptr) {
      const Vec from = Add(LaneIndices(), Broadcast(distance + static_cast<float>(c)));
      x = Fma(Broadcast(rules.alibi_slopes[head]), from, x);
    }
    if (bias != nullptr) x = Add(x, LoadFirst(bias + c, LanesOf(end - c)));
    Store(s + c, Mul(x, Broadcast(kLog2E)));
  }
}

// One row of the tile: probabilities from scores, and its m and l. Columns [begin, end) are seen.
inline void SoftmaxRow(const Work& w, int64_t row, int64_t tile, int64_t begin, int64_t end) {
  constexpr int kVecs = static_cast<int>(kTileTokens) / kLanes;
  float* s = w.s + row * kTileTokens;
  const auto see_nothing = [&] {
    for (int v = 0; v < kVecs; ++v) Store(s + v * kLanes, Zero());
    w.factor[row] = 1.0F;
  };
  if (begin >= end) return see_nothing();
  float scale = w.item.scale * kLog2E;
  if (w.item.scores.change_scores()) {
    ApplyScoreRules(w, row, tile, begin, end);
    scale = 1.0F;
  }
  const bool whole = begin == 0 && end == kTileTokens;
  Vec x[kVecs];
  Vec most = Broadcast(kMinusInfinity);
  for (int v = 0; v < kVecs; ++v) {
    x[v] = Load(s + v * kLanes);
    if (!whole) {
      const auto first = static_cast<int>(Min64(kLanes, Max64(0, begin - v * kLanes)));
      const auto last = static_cast<int>(Min64(kLanes, Max64(0, end - v * kLanes)));
      x[v] = KeepLanes(x[v], first, last, kMinusInfinity);
    }
    most = Max(most, x[v]);
  }
  const float before = w.state.m[row];
  const float tile_most = ReduceMax(most) * scale;
  const float m = before > tile_most ? before : tile_most;
  if (m == kMinusInfinity) return see_nothing();  // a bias hides all
  Vec sum = Zero();
  for (int v = 0; v < kVecs; ++v) {
    const Vec p = Exp2(Fma(x[v], Broadcast(scale), Broadcast(-m)));
    sum = Add(sum, p);
    Store(s + v * kLanes, p);
  }
  float factor[kLanes];
  Store(factor, Exp2(Broadcast(before - m)));
  w.factor[row] = factor[0];
  w.state.m[row] = m;
  w.state.l[row] = w.state.l[row] * factor[0] + ReduceAdd(sum);
}

// The pairs of bf16 that vdpbf16ps takes.
inline void RoundProbabilities(const Work& w, int64_t row) {
  auto* out = reinterpret_cast<uint16_t*>(w.p + row * kTileTokens / 2);
  for (int64_t t = 0; t < kTileTokens; t += kLanes) {
    StoreBf16(out + t, Load(w.s + row * kTileTokens + t));
  }
}

// One row of `total` with the same row of a later split; o [dim].
inline void MergeRow(int64_t dim, float* total_o, float* total_m, float* total_l, const float* o,
                     float m, float l) {
  if (m == kMinusInfinity) return;  // saw nothing in the split
  if (*total_m == kMinusInfinity) {
    for (int64_t d = 0; d < dim; ++d) total_o[d] = o[d];
    *total_m = m;
    *total_l = l;
    return;
  }
  const float most = *total_m > m ? *total_m : m;
  const Vec total_factor = Exp2(Broadcast(*total_m - most));
  const Vec factor = Exp2(Broadcast(m - most));
  for (int64_t d = 0; d < dim; d += kLanes) {
    const int lanes = LanesOf(dim - d);
    const Vec sum =
        Fma(LoadFirst(o + d, lanes), factor, Mul(LoadFirst(total_o + d, lanes), total_factor));
    StoreFirst(total_o + d, sum, lanes);
  }
  float factors[2][kLanes];
  Store(factors[0], total_factor);
  Store(factors[1], factor);
  *total_m = most;
  *total_l = *total_l * factors[0][0] + l * factors[1][0];
}

// out = o / l, or zeros where the row saw nothing. The sink's logit joins l here, once a row.
inline void StoreRow(const GqaItem& item, int64_t row, const float* o, float m, float l) {
  const int64_t head = row % item.heads;
  const int64_t at = row / item.heads * item.out_stride + head * item.value_dim;
  const bool sink = item.scores.sink_logits != nullptr && l != 0.0F;
  Vec o_factor = Zero();
  Vec total = Broadcast(l);
  if (sink) {
    const float logit = item.scores.sink_logits[head] * kLog2E;
    const float most = m > logit ? m : logit;
    o_factor = Exp2(Broadcast(m - most));
    total = Fma(total, o_factor, Exp2(Broadcast(logit - most)));
  }
  for (int64_t d = 0; d < item.value_dim; d += kLanes) {
    const int lanes = LanesOf(item.value_dim - d);
    Vec x = Zero();
    if (l != 0.0F) {
      x = LoadFirst(o + d, lanes);
      if (sink) x = Mul(x, o_factor);
      x = Div(x, total);
    }
    StoreElements(item.out, item.type, at + d, x, lanes);
  }
}

// w.total with w.state, of a later split.
inline void MergeState(const Work& w) {
  for (int64_t row = 0; row < w.rows; ++row) {
    const int64_t o = row * w.o_stride;
    MergeRow(w.item.value_dim, w.total.o + o, w.total.m + row, w.total.l + row, w.state.o + o,
             w.state.m[row], w.state.l[row]);
  }
}

// The item's out from w.total.
inline void StoreTotal(const Work& w) {
  for (int64_t row = 0; row < w.rows; ++row) {
    StoreRow(w.item, row, w.total.o + row * w.o_stride, w.total.m[row], w.total.l[row]);
  }
}

// w.state in the form of PartialNumbers.
inline void StorePartial(const Work& w, float* partial) {
  const int64_t dim = w.item.value_dim;
  float* m = partial + w.rows * dim;
  for (int64_t row = 0; row < w.rows; ++row) {
    for (int64_t d = 0; d < dim; ++d) partial[row * dim + d] = w.state.o[row * w.o_stride + d];
    m[row] = w.state.m[row];
    m[w.rows + row] = w.state.l[row];
  }
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_ATTENTION_CPU_KERNELS_GQA_SOFTMAX_H_
