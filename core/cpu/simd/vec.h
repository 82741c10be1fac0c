// The vector type of the instruction set that this file is being compiled for, in a namespace of
// that set's name (QUIRE_ISA, a macro from CMake). Kernels are written once against it.
//
// A kernel's translation unit includes nothing else with inline code: a function of the standard
// library compiled here might be the copy that the linker keeps for the whole program, and need
// instructions that the CPU does not have.
//
//   Vec                       kLanes fp32 numbers, or as many 32-bit pairs of bf16
//   kTileRows, kTileVecs      limits of a register tile: its rows, and rows x vectors
//   Load, LoadFirst(p, n)     all lanes; the first n and zeros. Store, StoreFirst likewise
//   StoreStream               past the caches, to a 64-byte aligned vector; FenceStreams when done
//   Add Sub Mul Div Max Min Sqrt, Fma(a, b, c) = a b + c
//   KeepLanes(x, begin, end, other)   lanes of x in [begin, end), else other; bounds in [0, kLanes]
//   ZeroWhereLess(x, a, b)    x, or 0 where a < b
//   WhereLess(a, b, x, y)     x where a < b, else y
//   ReduceAdd, ReduceMax      over lanes, always in the same order
//   EvenOfPairs, OddOfPairs   the two bf16 of each lane, widened (exact); PackBf16Pairs rounds back
//   LoadBf16, StoreBf16, LoadHalf (and ...First)   kLanes narrow numbers; stores round to nearest
//   LoadPairsFirst(p, n)      the first n of 2 kLanes bf16, zeros behind them
//   DotBf16Pairs(a, b, c)     c + a.even b.even + a.odd b.odd, where kHasBf16Dot
//   HasNonFinite, HasNonFiniteBf16    some element is an infinity or a NaN
//   Transpose(Vec (&x)[kLanes])       lane j of x[i] <-> lane i of x[j]
//   TransposePairs(Vec (&x)[kLanes / 2])   a square of 16-bit elements, pairs of rows interleaved:
//                                     half b of lane j of x[i] <-> half j % 2 of lane 2 i + b of
//                                     x[j / 2]
#ifndef QUIRE_CORE_CPU_SIMD_VEC_H_
#define QUIRE_CORE_CPU_SIMD_VEC_H_

#if defined(__AVX512F__)
#include "core/cpu/simd/vec_avx512.h"
#elif defined(__AVX2__)
#include "core/cpu/simd/vec_avx2.h"
#else
#include "core/cpu/simd/vec_portable.h"
#endif

namespace quire::QUIRE_ISA {

// 2^(n + f) for an integer n in [-126, 127] and |f| <= 1/2, to one unit in the last place; 2^0 is 1
// to the bit. 2^f by a polynomial fitted to the least relative error (2e-9).
inline Vec Exp2Parts(Vec n, Vec f) {
  Vec p = Broadcast(0x1.41fbbcp-13F);
  p = Fma(p, f, Broadcast(0x1.5f3e54p-10F));
  p = Fma(p, f, Broadcast(0x1.3b2d4cp-7F));
  p = Fma(p, f, Broadcast(0x1.c6aee8p-5F));
  p = Fma(p, f, Broadcast(0x1.ebfbdcp-3F));
  p = Fma(p, f, Broadcast(0x1.62e43p-1F));
  p = Fma(p, f, Broadcast(1.0F));
  return ShiftIntoExponent(p, n);
}

// 2^x: 0 below 2^-126, no more than about 2^127, and NaN for NaN (Min and Max give their second
// argument where one is NaN).
inline Vec Exp2(Vec x) {
  const Vec least = Broadcast(-126.0F);
  const Vec clamped = Min(Broadcast(127.0F), Max(least, x));
  const Vec n = RoundToInt(clamped);
  return ZeroWhereLess(Exp2Parts(n, Sub(clamped, n)), x, least);
}

// e^x for |x| <= 87, e^(+-87) beyond, to two units in the last place: x = n ln 2 + r, with ln 2 in
// two parts of which n times the first is exact.
inline Vec Exp(Vec x) {
  const Vec log2e = Broadcast(0x1.715476p+0F);
  const Vec clamped = Min(Broadcast(87.0F), Max(Broadcast(-87.0F), x));
  const Vec n = RoundToInt(Mul(clamped, log2e));
  const Vec minus_n = Sub(Zero(), n);
  const Vec r =
      Fma(minus_n, Broadcast(0x1.7f7d1cp-20F), Fma(minus_n, Broadcast(0x1.62e4p-1F), clamped));
  return Exp2Parts(n, Mul(r, log2e));
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_CORE_CPU_SIMD_VEC_H_
