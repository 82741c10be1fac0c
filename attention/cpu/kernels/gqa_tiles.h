// The two products of attention over one tile of keys, on the pages as they lie: a K page of one
// head is the right-hand side of q k^T with tokens as columns, a V page that of p v with head dims
// as columns.
//
// FLOPs per byte of cache: 4 rows / bytes of an element, with rows = queries x G. One decoded token
// of a small group is bound by memory, a chunk of a prompt by the FMA units.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_GQA_TILES_H_
#define QUIRE_ATTENTION_CPU_KERNELS_GQA_TILES_H_

#include "attention/cpu/kernels/attention_kernels.h"
#include "core/cpu/simd/tile.h"

namespace quire::QUIRE_ISA {

constexpr TileKind KindOf(ElementType type) {
  if (type == ElementType::kFloat32) return TileKind::kFloat;
  return kHasBf16Dot ? TileKind::kBf16Dot : TileKind::kBf16Widened;
}

// P: elements of the cache in a word.
constexpr int64_t PairOf(TileKind kind) { return kind == TileKind::kFloat ? 1 : 2; }

// 4-byte numbers of A that a row of `n` elements takes.
constexpr int64_t RowNumbers(TileKind kind, int64_t n) {
  return kind == TileKind::kBf16Dot ? n / 2 : n;
}

// Calls run.template operator()<kRows>() with kRows = rows, in [1, kTileRows].
template <int kRows = kTileRows, typename Run>
[[gnu::always_inline]] inline void WithRows(int rows, Run run) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return WithRows<kRows - 1>(rows, run);
  }
  run.template operator()<kRows>();
}

// s [kRows, kTileTokens] = q k^T for the B tokens of one page. q [D, kRows] interleaved.
// `ahead.lines` is for one pass over the steps; the groups of columns share it.
template <TileKind kKind, int kRows, int kColumns>
[[gnu::noinline]] void ScorePage(const float* q, const float* keys, int64_t steps, Lookahead ahead,
                                 float* s) {
  constexpr int kVecs = TileVecs(kRows, kColumns / kLanes);
  constexpr int kGroups = kColumns / (kVecs * kLanes);
  ahead.lines = (ahead.lines + kGroups - 1) / kGroups;
  for (int64_t column = 0; column < kColumns; column += int64_t{kVecs} * kLanes) {
    Vec c[kRows][kVecs];
    TileZero(c);
    TileRun<kKind, kRows, kVecs, 1, kRows>(q, keys + column, kColumns, steps, ahead, c);
    ahead.next += (steps + kTileBatch - 1) / kTileBatch * ahead.lines * 64;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) Store(s + r * kTileTokens + column + v * kLanes, c[r][v]);
    }
  }
}

template <TileKind kKind>
void ScoreRows(int rows, int64_t block_tokens, const float* q, const float* keys, int64_t steps,
               Lookahead ahead, float* s) {
  WithRows(rows, [&]<int kRows>() {
    if (block_tokens == 64) return ScorePage<kKind, kRows, 64>(q, keys, steps, ahead, s);
    if (block_tokens == 32) return ScorePage<kKind, kRows, 32>(q, keys, steps, ahead, s);
    ScorePage<kKind, kRows, 16>(q, keys, steps, ahead, s);
  });
}

// Rows of V that lie one after the other in memory, and where their tokens stand in the tile.
struct ValueRun {
  const float* words;  // [steps][Dv]
  int64_t steps;
  int64_t token;  // of the first step, in the tile
  Lookahead ahead;
};

struct ValueArgs {
  const float* p;  // [rows, RowNumbers(kTileTokens)]
  const ValueRun* runs;
  int num_runs;
  int64_t dim;
  float* o;  // [rows, o_stride]: o = o factor + p v
  int64_t o_stride;
  const float* factor;  // [rows]
  // Of the groups of columns that share the lookahead of each run: this one and how many.
  int group;
  int num_groups;
};

template <TileKind kKind, int kRows, int kVecs, bool kPartial>
[[gnu::noinline]] void ValueTile(const ValueArgs& t, int64_t column) {
  constexpr int kRowStride = static_cast<int>(RowNumbers(kKind, kTileTokens));
  Vec c[kRows][kVecs];
  TileZero(c);
  for (int i = 0; i < t.num_runs; ++i) {
    const ValueRun& run = t.runs[i];
    Lookahead ahead = run.ahead;
    ahead.lines = (ahead.lines + t.num_groups - 1) / t.num_groups;
    ahead.next += t.group * ((run.steps + kTileBatch - 1) / kTileBatch) * ahead.lines * 64;
    TileRun<kKind, kRows, kVecs, kRowStride, 1, kPartial>(
        t.p + RowNumbers(kKind, run.token), run.words + column, t.dim, run.steps, ahead, c,
        kPartial ? static_cast<int>(t.dim - column) : kLanes);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const Vec factor = Broadcast(t.factor[r]);
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) {
      float* o = t.o + r * t.o_stride + column + v * kLanes;
      Store(o, Fma(Load(o), factor, c[r][v]));
    }
  }
}

// All head dims of a block of rows: groups of vectors, then single ones, then what is left.
template <TileKind kKind>
void ValueRows(int rows, ValueArgs t) {
  WithRows(rows, [&]<int kRows>() {
    constexpr int kVecs = TileVecs(kRows, 8);
    t.num_groups = static_cast<int>((t.dim + kVecs * kLanes - 1) / (kVecs * kLanes));
    int64_t column = 0;
    for (; column + kVecs * kLanes <= t.dim; column += kVecs * kLanes, ++t.group) {
      ValueTile<kKind, kRows, kVecs, false>(t, column);
    }
    for (; column + kLanes <= t.dim; column += kLanes) {
      ValueTile<kKind, kRows, 1, false>(t, column);
    }
    if (column < t.dim) ValueTile<kKind, kRows, 1, true>(t, column);
  });
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_ATTENTION_CPU_KERNELS_GQA_TILES_H_
