// AVX2, FMA and F16C vectors; see vec.h for what each function does.
#ifndef QUIRE_CORE_CPU_SIMD_VEC_AVX2_H_
#define QUIRE_CORE_CPU_SIMD_VEC_AVX2_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace quire::QUIRE_ISA {

using Vec = __m256;
inline constexpr int kLanes = 8;
inline constexpr int kTileVecs = 12;  // accumulators of a tile; 4 registers are left for operands
inline constexpr int kTileRows = 6;
inline constexpr bool kHasBf16Dot = false;
Vec DotBf16Pairs(Vec a, Vec b, Vec c);  // never called

inline Vec Zero() { return _mm256_setzero_ps(); }
inline Vec Broadcast(float x) { return _mm256_set1_ps(x); }
inline Vec BroadcastBits(uint32_t x) {
  return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(x)));
}
inline Vec Load(const float* p) { return _mm256_loadu_ps(p); }
inline void Store(float* p, Vec x) { _mm256_storeu_ps(p, x); }
inline void StoreStream(float* p, Vec x) { _mm256_stream_ps(p, x); }
inline void FenceStreams() { _mm_sfence(); }

inline __m256i LaneNumbers() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
inline __m256i FirstLanes(int n) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), LaneNumbers()); }
inline Vec LoadFirst(const float* p, int n) { return _mm256_maskload_ps(p, FirstLanes(n)); }
inline void StoreFirst(float* p, Vec x, int n) { _mm256_maskstore_ps(p, FirstLanes(n), x); }

inline Vec Add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec Sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
inline Vec Mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
inline Vec Div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
inline Vec Fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec Max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
inline Vec Min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
inline Vec Sqrt(Vec a) { return _mm256_sqrt_ps(a); }
inline Vec KeepLanes(Vec x, int begin, int end, float other) {
  const __m256i keep = _mm256_andnot_si256(FirstLanes(begin), FirstLanes(end));
  return _mm256_blendv_ps(_mm256_set1_ps(other), x, _mm256_castsi256_ps(keep));
}
inline Vec ZeroWhereLess(Vec x, Vec a, Vec b) {
  return _mm256_and_ps(x, _mm256_cmp_ps(a, b, _CMP_NLT_UQ));
}
inline Vec WhereLess(Vec a, Vec b, Vec x, Vec y) {
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

inline float ReduceAdd(Vec x) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
inline float ReduceMax(Vec x) {
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

inline Vec RoundToInt(Vec x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec ShiftIntoExponent(Vec x, Vec n) {
  const __m256i steps = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), steps));
}

inline Vec EvenOfPairs(Vec pairs) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pairs), 16));
}
inline Vec OddOfPairs(Vec pairs) {
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000U));
  return _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(pairs), high));
}

// The first n of 8 16-bit elements, zeros behind them.
inline __m128i LoadFirst16(const uint16_t* p, int n) {
  alignas(16) uint16_t copy[8] = {};
  for (int i = 0; i < n; ++i) copy[i] = p[i];
  return _mm_load_si128(reinterpret_cast<const __m128i*>(copy));
}
inline Vec WidenBf16Bits(__m128i bits) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline Vec LoadBf16(const uint16_t* p) {
  return WidenBf16Bits(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline Vec LoadBf16First(const uint16_t* p, int n) { return WidenBf16Bits(LoadFirst16(p, n)); }
// Lanes' low halves: the bf16 that `x` rounds to.
inline __m256i Bf16Bits(Vec x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  const __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, quiet, nan);
}
inline __m128i NarrowTo16(__m256i x) {
  const __m256i packed = _mm256_packus_epi32(x, x);  // within halves: 0-3 0-3 | 4-7 4-7
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}
inline void StoreBf16(uint16_t* p, Vec x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), NarrowTo16(Bf16Bits(x)));
}
inline void StoreBf16First(uint16_t* p, Vec x, int n) {
  alignas(16) uint16_t copy[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(copy), NarrowTo16(Bf16Bits(x)));
  for (int i = 0; i < n; ++i) p[i] = copy[i];
}
inline Vec LoadHalf(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline Vec LoadHalfFirst(const uint16_t* p, int n) { return _mm256_cvtph_ps(LoadFirst16(p, n)); }
inline Vec PackBf16Pairs(Vec even, Vec odd) {
  return _mm256_castsi256_ps(_mm256_or_si256(Bf16Bits(even), _mm256_slli_epi32(Bf16Bits(odd), 16)));
}
inline Vec LoadPairsFirst(const uint16_t* p, int n) {
  alignas(32) uint16_t copy[16] = {};
  for (int i = 0; i < n; ++i) copy[i] = p[i];
  return _mm256_castsi256_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(copy)));
}
inline bool HasNonFiniteBf16(Vec pairs) {
  const __m256i exponent = _mm256_set1_epi16(0x7f80);
  return _mm256_movemask_epi8(_mm256_cmpeq_epi16(
             _mm256_and_si256(_mm256_castps_si256(pairs), exponent), exponent)) != 0;
}
inline bool HasNonFinite(Vec x) {
  const __m256i exponent = _mm256_set1_epi32(0x7f800000);
  return _mm256_movemask_epi8(
             _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(x), exponent), exponent)) != 0;
}

inline void Transpose(Vec (&x)[8]) {
  Vec y[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    y[2 * i] = _mm256_unpacklo_ps(x[2 * i], x[2 * i + 1]);
    y[2 * i + 1] = _mm256_unpackhi_ps(x[2 * i], x[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    x[4 * i] = _mm256_shuffle_ps(y[4 * i], y[4 * i + 2], 0x44);
    x[4 * i + 1] = _mm256_shuffle_ps(y[4 * i], y[4 * i + 2], 0xee);
    x[4 * i + 2] = _mm256_shuffle_ps(y[4 * i + 1], y[4 * i + 3], 0x44);
    x[4 * i + 3] = _mm256_shuffle_ps(y[4 * i + 1], y[4 * i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    y[i] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x20);
    y[i + 4] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) x[i] = y[i];
}

// The halves of neighbouring lanes change places, then the square of 64-bit lanes is turned.
inline void TransposePairs(Vec (&x)[4]) {
  const __m256i middle = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  __m256d y[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    y[i] = _mm256_castsi256_pd(_mm256_shuffle_epi8(_mm256_castps_si256(x[i]), middle));
  }
  const __m256d even01 = _mm256_unpacklo_pd(y[0], y[1]);
  const __m256d odd01 = _mm256_unpackhi_pd(y[0], y[1]);
  const __m256d even23 = _mm256_unpacklo_pd(y[2], y[3]);
  const __m256d odd23 = _mm256_unpackhi_pd(y[2], y[3]);
  x[0] = _mm256_castpd_ps(_mm256_permute2f128_pd(even01, even23, 0x20));
  x[1] = _mm256_castpd_ps(_mm256_permute2f128_pd(odd01, odd23, 0x20));
  x[2] = _mm256_castpd_ps(_mm256_permute2f128_pd(even01, even23, 0x31));
  x[3] = _mm256_castpd_ps(_mm256_permute2f128_pd(odd01, odd23, 0x31));
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_CORE_CPU_SIMD_VEC_AVX2_H_
