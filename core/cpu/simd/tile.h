// The register tile under every product of the CPU backend: GEMM, q k^T and p v.
//
// C[r][n] += sum over s of A[r][s] B[s][n] for kRows rows and kVecs vectors of columns, with C in
// registers. Each element is one chain of fp32 fused multiply-adds in ascending order of the inner
// dimension, so it depends on its own row and column only: tiles of any shape give the same bits.
//
// A step is one 32-bit word of the inner dimension: one fp32, or a pair of bf16. B is
// [steps][b_step] words, of which a tile reads kVecs * kLanes a step; the page that lays out weight
// panels, K pages and V pages this way is kvcache/kv_layout.h.
#ifndef QUIRE_CORE_CPU_SIMD_TILE_H_
#define QUIRE_CORE_CPU_SIMD_TILE_H_

#include "core/cpu/simd/vec.h"

namespace quire::QUIRE_ISA {

enum class TileKind {
  kFloat,        // A fp32, B fp32
  kBf16Widened,  // A fp32 (two numbers a step), B pairs of bf16, widened in registers: exact
  kBf16Dot,      // A and B pairs of bf16, multiplied by vdpbf16ps
};

// Numbers of A that one step takes.
constexpr int StepNumbers(TileKind kind) { return kind == TileKind::kBf16Widened ? 2 : 1; }

// The most vectors that a tile of `rows` rows keeps in registers: a power of two.
constexpr int TileVecs(int rows, int limit) {
  int vecs = 1;
  while (2 * vecs * rows <= kTileVecs && 2 * vecs <= limit) vecs *= 2;
  return vecs;
}

// One step. Number i of row r of A is a[r * kRowStride + i * kNumberStride]: rows interleaved, or
// apart. Where kPartial, B has only `lanes` columns.
template <TileKind kKind, int kRows, int kVecs, int kRowStride, int kNumberStride, bool kPartial>
[[gnu::always_inline]] inline void TileStep(const float* a, const float* b, int lanes,
                                            Vec (&c)[kRows][kVecs]) {
  static_assert(!kPartial || kVecs == 1);
  Vec words[kVecs];
#pragma GCC unroll 16
  for (int v = 0; v < kVecs; ++v) {
    words[v] = kPartial ? LoadFirst(b, lanes) : Load(b + v * kLanes);
  }
  if constexpr (kKind == TileKind::kBf16Widened) {
    Vec even[kVecs];
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) even[v] = EvenOfPairs(words[v]);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec x = Broadcast(a[r * kRowStride]);
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) c[r][v] = Fma(x, even[v], c[r][v]);
    }
    Vec odd[kVecs];
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) odd[v] = OddOfPairs(words[v]);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec x = Broadcast(a[r * kRowStride + kNumberStride]);
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) c[r][v] = Fma(x, odd[v], c[r][v]);
    }
  } else {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const Vec x = Broadcast(a[r * kRowStride]);
#pragma GCC unroll 16
      for (int v = 0; v < kVecs; ++v) {
        if constexpr (kKind == TileKind::kFloat) {
          c[r][v] = Fma(x, words[v], c[r][v]);
        } else {
          c[r][v] = DotBf16Pairs(x, words[v], c[r][v]);
        }
      }
    }
  }
}

// Memory that a later tile will read: so many lines are asked for every kTileBatch steps.
struct Lookahead {
  const char* next = nullptr;
  int lines = 0;
};
inline constexpr int64_t kTileBatch = 4;

template <TileKind kKind, int kRows, int kVecs, int kRowStride, int kNumberStride,
          bool kPartial = false>
[[gnu::always_inline]] inline void TileRun(const float* a, const float* b, int64_t b_step,
                                           int64_t steps, Lookahead ahead, Vec (&c)[kRows][kVecs],
                                           int lanes = kLanes) {
  for (int64_t s = 0; s < steps; s += kTileBatch) {
    for (int line = 0; line < ahead.lines; ++line) {
      __builtin_prefetch(ahead.next, 0, 2);
      ahead.next += 64;
    }
    const int64_t batch = steps - s < kTileBatch ? steps - s : kTileBatch;
    for (int64_t i = 0; i < batch; ++i) {
      TileStep<kKind, kRows, kVecs, kRowStride, kNumberStride, kPartial>(a, b, lanes, c);
      a += StepNumbers(kKind) * kNumberStride;
      b += b_step;
    }
  }
}

template <int kRows, int kVecs>
[[gnu::always_inline]] inline void TileZero(Vec (&c)[kRows][kVecs]) {
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVecs; ++v) c[r][v] = Zero();
  }
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_CORE_CPU_SIMD_TILE_H_
