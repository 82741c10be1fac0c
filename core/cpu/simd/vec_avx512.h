// AVX-512 (F, BW, DQ, VL) vectors; see vec.h for what each function does.
#ifndef QUIRE_CORE_CPU_SIMD_VEC_AVX512_H_
#define QUIRE_CORE_CPU_SIMD_VEC_AVX512_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace quire::QUIRE_ISA {

using Vec = __m512;
inline constexpr int kLanes = 16;
inline constexpr int kTileVecs = 24;  // accumulators of a tile; 8 registers are left for operands
inline constexpr int kTileRows = 12;

inline Vec Zero() { return _mm512_setzero_ps(); }
inline Vec Broadcast(float x) { return _mm512_set1_ps(x); }
inline Vec BroadcastBits(uint32_t x) {
  return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(x)));
}
inline Vec Load(const float* p) { return _mm512_loadu_ps(p); }
inline void Store(float* p, Vec x) { _mm512_storeu_ps(p, x); }
inline void StoreStream(float* p, Vec x) { _mm512_stream_ps(p, x); }
inline void FenceStreams() { _mm_sfence(); }

inline __mmask16 FirstLanes(int n) { return static_cast<__mmask16>((1U << n) - 1); }
inline Vec LoadFirst(const float* p, int n) { return _mm512_maskz_loadu_ps(FirstLanes(n), p); }
inline void StoreFirst(float* p, Vec x, int n) { _mm512_mask_storeu_ps(p, FirstLanes(n), x); }

inline Vec Add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec Sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec Mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec Div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec Fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec Max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Vec Min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
inline Vec Sqrt(Vec a) { return _mm512_sqrt_ps(a); }
inline Vec KeepLanes(Vec x, int begin, int end, float other) {
  const auto keep = static_cast<__mmask16>(FirstLanes(end) & ~FirstLanes(begin));
  return _mm512_mask_mov_ps(_mm512_set1_ps(other), keep, x);
}
inline Vec ZeroWhereLess(Vec x, Vec a, Vec b) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), x);
}
inline Vec WhereLess(Vec a, Vec b, Vec x, Vec y) {
  return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x);
}

inline float ReduceAdd(Vec x) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
inline float ReduceMax(Vec x) {
  const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

inline Vec RoundToInt(Vec x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec ShiftIntoExponent(Vec x, Vec n) {
  const __m512i steps = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), steps));
}

inline Vec EvenOfPairs(Vec pairs) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(pairs), 16));
}
inline Vec OddOfPairs(Vec pairs) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
  return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(pairs), high));
}

inline Vec WidenBf16Bits(__m256i bits) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}
inline Vec LoadBf16(const uint16_t* p) {
  return WidenBf16Bits(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Vec LoadBf16First(const uint16_t* p, int n) {
  return WidenBf16Bits(_mm256_maskz_loadu_epi16(FirstLanes(n), p));
}
// Lanes' low halves: the bf16 that `x` rounds to.
inline __m512i Bf16Bits(Vec x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_srli_epi32(
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  const __m512i quiet = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
  return _mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), quiet);
}
inline void StoreBf16(uint16_t* p, Vec x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(Bf16Bits(x)));
}
inline void StoreBf16First(uint16_t* p, Vec x, int n) {
  _mm256_mask_storeu_epi16(p, FirstLanes(n), _mm512_cvtepi32_epi16(Bf16Bits(x)));
}
inline Vec LoadHalf(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Vec LoadHalfFirst(const uint16_t* p, int n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(FirstLanes(n), p));
}
inline Vec PackBf16Pairs(Vec even, Vec odd) {
  return _mm512_castsi512_ps(_mm512_or_si512(Bf16Bits(even), _mm512_slli_epi32(Bf16Bits(odd), 16)));
}
inline Vec LoadPairsFirst(const uint16_t* p, int n) {
  const auto mask = static_cast<__mmask32>((uint64_t{1} << n) - 1);
  return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(mask, p));
}
inline bool HasNonFiniteBf16(Vec pairs) {
  const __m512i exponent = _mm512_set1_epi16(0x7f80);
  return _mm512_cmpeq_epi16_mask(_mm512_and_si512(_mm512_castps_si512(pairs), exponent),
                                 exponent) != 0;
}
inline bool HasNonFinite(Vec x) {
  const __m512i exponent = _mm512_set1_epi32(0x7f800000);
  return _mm512_cmpeq_epi32_mask(_mm512_and_si512(_mm512_castps_si512(x), exponent), exponent) != 0;
}

#ifdef __AVX512BF16__
inline constexpr bool kHasBf16Dot = true;
inline Vec DotBf16Pairs(Vec a, Vec b, Vec c) {
  return _mm512_dpbf16_ps(c, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b));
}
#else
inline constexpr bool kHasBf16Dot = false;
Vec DotBf16Pairs(Vec a, Vec b, Vec c);  // never called
#endif

// In four rounds, each of which doubles the blocks that stand in their place.
inline void Transpose(Vec (&x)[16]) {
  Vec y[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    y[2 * i] = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]);
    y[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    x[4 * i] = _mm512_shuffle_ps(y[4 * i], y[4 * i + 2], 0x44);
    x[4 * i + 1] = _mm512_shuffle_ps(y[4 * i], y[4 * i + 2], 0xee);
    x[4 * i + 2] = _mm512_shuffle_ps(y[4 * i + 1], y[4 * i + 3], 0x44);
    x[4 * i + 3] = _mm512_shuffle_ps(y[4 * i + 1], y[4 * i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    y[i] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0x88);
    y[i + 4] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0xdd);
    y[i + 8] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0x88);
    y[i + 12] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0xdd);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    x[i] = _mm512_shuffle_f32x4(y[i], y[i + 8], 0x88);
    x[i + 8] = _mm512_shuffle_f32x4(y[i], y[i + 8], 0xdd);
  }
}

// The halves of neighbouring lanes change places, then squares of 64-bit lanes are turned.
inline void TransposePairs(Vec (&x)[8]) {
  const __m512i middle =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  __m512d y[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    y[i] = _mm512_castsi512_pd(_mm512_shuffle_epi8(_mm512_castps_si512(x[i]), middle));
  }
  __m512d z[8];  // [0, 4): even 64-bit lanes of pairs of vectors, [4, 8): odd ones
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    z[i] = _mm512_unpacklo_pd(y[2 * i], y[2 * i + 1]);
    z[i + 4] = _mm512_unpackhi_pd(y[2 * i], y[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int odd = 0; odd < 2; ++odd) {
    const __m512d a = _mm512_shuffle_f64x2(z[4 * odd], z[4 * odd + 1], 0x44);
    const __m512d b = _mm512_shuffle_f64x2(z[4 * odd], z[4 * odd + 1], 0xee);
    const __m512d c = _mm512_shuffle_f64x2(z[4 * odd + 2], z[4 * odd + 3], 0x44);
    const __m512d d = _mm512_shuffle_f64x2(z[4 * odd + 2], z[4 * odd + 3], 0xee);
    x[odd] = _mm512_castpd_ps(_mm512_shuffle_f64x2(a, c, 0x88));
    x[odd + 2] = _mm512_castpd_ps(_mm512_shuffle_f64x2(a, c, 0xdd));
    x[odd + 4] = _mm512_castpd_ps(_mm512_shuffle_f64x2(b, d, 0x88));
    x[odd + 6] = _mm512_castpd_ps(_mm512_shuffle_f64x2(b, d, 0xdd));
  }
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_CORE_CPU_SIMD_VEC_AVX512_H_
