// Vectors of what every x86-64 has (SSE2), by the vector types of GCC and Clang, without
// intrinsics; see vec.h for what each function does. Fma rounds twice here.
#ifndef QUIRE_CORE_CPU_SIMD_VEC_PORTABLE_H_
#define QUIRE_CORE_CPU_SIMD_VEC_PORTABLE_H_

#include <cstddef>
#include <cstdint>

namespace quire::QUIRE_ISA {

using Vec = float __attribute__((vector_size(16)));
using Bits = uint32_t __attribute__((vector_size(16)));
inline constexpr int kLanes = 4;
inline constexpr int kTileVecs = 12;  // accumulators of a tile; 4 registers are left for operands
inline constexpr int kTileRows = 6;
inline constexpr bool kHasBf16Dot = false;
Vec DotBf16Pairs(Vec a, Vec b, Vec c);  // never called

inline Vec Broadcast(float x) { return Vec{x, x, x, x}; }
inline Vec Zero() { return Broadcast(0.0F); }
inline Vec BroadcastBits(uint32_t x) { return (Vec)Bits{x, x, x, x}; }
inline Vec Load(const float* p) {
  Vec x;
  __builtin_memcpy(&x, p, sizeof(x));
  return x;
}
inline void Store(float* p, Vec x) { __builtin_memcpy(p, &x, sizeof(x)); }
inline void StoreStream(float* p, Vec x) { Store(p, x); }
inline void FenceStreams() {}

inline Vec LoadFirst(const float* p, int n) {
  Vec x = Zero();
  for (int i = 0; i < n; ++i) x[i] = p[i];
  return x;
}
inline void StoreFirst(float* p, Vec x, int n) {
  for (int i = 0; i < n; ++i) p[i] = x[i];
}

// Lanes of `a` where `mask` is all ones, of `b` where it is zero.
inline Vec Blend(Bits mask, Vec a, Vec b) { return (Vec)((mask & (Bits)a) | (~mask & (Bits)b)); }

inline Vec Add(Vec a, Vec b) { return a + b; }
inline Vec Sub(Vec a, Vec b) { return a - b; }
inline Vec Mul(Vec a, Vec b) { return a * b; }
inline Vec Div(Vec a, Vec b) { return a / b; }
inline Vec Fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec Max(Vec a, Vec b) { return Blend((Bits)(a > b), a, b); }
inline Vec Min(Vec a, Vec b) { return Blend((Bits)(a < b), a, b); }
inline Vec Sqrt(Vec a) {
  for (int i = 0; i < kLanes; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
inline Vec KeepLanes(Vec x, int begin, int end, float other) {
  for (int i = 0; i < kLanes; ++i) x[i] = i >= begin && i < end ? x[i] : other;
  return x;
}
inline Vec ZeroWhereLess(Vec x, Vec a, Vec b) { return (Vec)((Bits)x & ~(Bits)(a < b)); }
inline Vec WhereLess(Vec a, Vec b, Vec x, Vec y) { return Blend((Bits)(a < b), x, y); }

inline float ReduceAdd(Vec x) { return (x[0] + x[2]) + (x[1] + x[3]); }
inline float ReduceMax(Vec x) {
  const float a = x[0] > x[2] ? x[0] : x[2];
  const float b = x[1] > x[3] ? x[1] : x[3];
  return a > b ? a : b;
}

// By the addition that pushes the fraction out: |x| < 2^22.
inline Vec RoundToInt(Vec x) {
  const Vec magic = Broadcast(12582912.0F);  // 1.5 * 2^23
  return (x + magic) - magic;
}
inline Vec ShiftIntoExponent(Vec x, Vec n) {
  const Bits steps = (Bits)(n + Broadcast(12582912.0F)) << 23;  // n in the sum's low bits
  return (Vec)((Bits)x + steps);
}

inline Vec EvenOfPairs(Vec pairs) { return (Vec)((Bits)pairs << 16); }
inline Vec OddOfPairs(Vec pairs) { return (Vec)((Bits)pairs & 0xffff0000U); }

inline Vec LoadBf16First(const uint16_t* p, int n) {
  Bits bits = {};
  for (int i = 0; i < n; ++i) bits[i] = static_cast<uint32_t>(p[i]) << 16;
  return (Vec)bits;
}
inline Vec LoadBf16(const uint16_t* p) { return LoadBf16First(p, kLanes); }
// Lanes' low halves: the bf16 that `x` rounds to.
inline Bits Bf16Bits(Vec x) {
  const Bits bits = (Bits)x;
  const Bits rounded = (bits + (((bits >> 16) & 1U) + 0x7fffU)) >> 16;
  const Bits quiet = (bits >> 16) | 0x40U;
  const Bits nan = (Bits)(x != x);
  return (nan & quiet) | (~nan & rounded);
}
inline void StoreBf16First(uint16_t* p, Vec x, int n) {
  const Bits bits = Bf16Bits(x);
  for (int i = 0; i < n; ++i) p[i] = static_cast<uint16_t>(bits[i]);
}
inline void StoreBf16(uint16_t* p, Vec x) { StoreBf16First(p, x, kLanes); }

// The fp32 with the value of an IEEE half.
inline float WidenHalf(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
  const uint32_t magnitude = half & 0x7fffU;
  float x = 0.0F;
  if (magnitude < 0x400U) {  // zero and subnormals
    x = static_cast<float>(magnitude) * 0x1p-24F;
  } else {
    const uint32_t exponent_step = magnitude < 0x7c00U ? 112U << 23 : 224U << 23;
    const uint32_t bits = (magnitude << 13) + exponent_step;
    __builtin_memcpy(&x, &bits, sizeof(x));
  }
  uint32_t bits = 0;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  bits |= sign;
  __builtin_memcpy(&x, &bits, sizeof(x));
  return x;
}
inline Vec LoadHalfFirst(const uint16_t* p, int n) {
  Vec x = Zero();
  for (int i = 0; i < n; ++i) x[i] = WidenHalf(p[i]);
  return x;
}
inline Vec LoadHalf(const uint16_t* p) { return LoadHalfFirst(p, kLanes); }
inline Vec PackBf16Pairs(Vec even, Vec odd) {
  return (Vec)(Bf16Bits(even) | (Bf16Bits(odd) << 16));
}
inline Vec LoadPairsFirst(const uint16_t* p, int n) {
  uint16_t copy[2 * kLanes] = {};
  for (int i = 0; i < n; ++i) copy[i] = p[i];
  Vec x;
  __builtin_memcpy(&x, copy, sizeof(x));
  return x;
}
inline bool AnyLane(Bits mask) { return (mask[0] | mask[1] | mask[2] | mask[3]) != 0; }
inline bool HasNonFinite(Vec x) { return AnyLane((Bits)(((Bits)x & 0x7f800000U) == 0x7f800000U)); }
inline bool HasNonFiniteBf16(Vec pairs) {
  return HasNonFinite(EvenOfPairs(pairs)) || HasNonFinite(OddOfPairs(pairs));
}

inline void Transpose(Vec (&x)[4]) {
  const Vec a = x[0];
  const Vec b = x[1];
  const Vec c = x[2];
  const Vec d = x[3];
  x[0] = Vec{a[0], b[0], c[0], d[0]};
  x[1] = Vec{a[1], b[1], c[1], d[1]};
  x[2] = Vec{a[2], b[2], c[2], d[2]};
  x[3] = Vec{a[3], b[3], c[3], d[3]};
}

inline void TransposePairs(Vec (&x)[2]) {
  uint16_t in[2][4][2];  // [pair of rows][column][row of the pair]
  uint16_t out[2][4][2];
  __builtin_memcpy(in, x, sizeof(in));
  for (int row = 0; row < 4; ++row) {
    for (int column = 0; column < 4; ++column) {
      out[column / 2][row][column % 2] = in[row / 2][column][row % 2];
    }
  }
  __builtin_memcpy(x, out, sizeof(out));
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_CORE_CPU_SIMD_VEC_PORTABLE_H_
