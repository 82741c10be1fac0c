// What sampling needs beyond vec.h: integer weights, and comparisons as bit masks.
//
//   AtLeastMask(x, y), AboveMask(x, y)   bit i where lane i of x >= y, x > y; NaN compares false
//   WeightSum                            a sum of ExpWeight(y) over lanes; see ops/sampling_math.h,
//                                        whose steps Add follows to the bit
#ifndef QUIRE_CORE_CPU_SIMD_SAMPLING_H_
#define QUIRE_CORE_CPU_SIMD_SAMPLING_H_

#include "core/cpu/simd/vec.h"

namespace quire::QUIRE_ISA {

#if defined(__AVX2__)
// 2^f for f in [0, 1), where Fma rounds once.
inline Vec Exp2OfFraction(Vec f) {
  Vec p = Broadcast(1.86713005e-3F);
  p = Fma(p, f, Broadcast(9.01703071e-3F));
  p = Fma(p, f, Broadcast(5.57999127e-2F));
  p = Fma(p, f, Broadcast(2.40164444e-1F));
  p = Fma(p, f, Broadcast(6.93151295e-1F));
  return Fma(p, f, Broadcast(1.0F));
}
#endif

#if defined(__AVX512F__)

inline uint32_t AtLeastMask(Vec x, Vec y) { return _mm512_cmp_ps_mask(x, y, _CMP_GE_OQ); }
inline uint32_t AboveMask(Vec x, Vec y) { return _mm512_cmp_ps_mask(x, y, _CMP_GT_OQ); }

class WeightSum {
 public:
  // Adds the weights 2^t of the lanes in `mask` that are at least min_weight.
  void Add(Vec t, uint32_t mask, uint64_t min_weight) {
    const __mmask16 counts =
        _mm512_cmp_ps_mask(t, Broadcast(-41.0F), _CMP_GT_OQ) & static_cast<__mmask16>(mask);
    const Vec n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    const __m512i significand =
        _mm512_cvttps_epi32(Mul(Exp2OfFraction(Sub(t, n)), Broadcast(8388608.0F)));
    const __m512i shift = _mm512_cvttps_epi32(Sub(Zero(), n));
    AddHalf(_mm512_castsi512_si256(significand), _mm512_castsi512_si256(shift),
            static_cast<__mmask8>(counts), min_weight);
    AddHalf(_mm512_extracti64x4_epi64(significand, 1), _mm512_extracti64x4_epi64(shift, 1),
            static_cast<__mmask8>(counts >> 8), min_weight);
  }
  uint64_t Total() const { return static_cast<uint64_t>(_mm512_reduce_add_epi64(sum_)); }

 private:
  void AddHalf(__m256i significand, __m256i shift, __mmask8 counts, uint64_t min_weight) {
    const __m512i w = _mm512_srlv_epi64(_mm512_slli_epi64(_mm512_cvtepu32_epi64(significand), 17),
                                        _mm512_cvtepu32_epi64(shift));
    const __mmask8 kept = _mm512_mask_cmpge_epu64_mask(
        counts, w, _mm512_set1_epi64(static_cast<int64_t>(min_weight)));
    sum_ = _mm512_mask_add_epi64(sum_, kept, sum_, w);
  }

  __m512i sum_ = _mm512_setzero_si512();
};

#elif defined(__AVX2__)

inline uint32_t AtLeastMask(Vec x, Vec y) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_GE_OQ)));
}
inline uint32_t AboveMask(Vec x, Vec y) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_GT_OQ)));
}

class WeightSum {
 public:
  void Add(Vec t, uint32_t mask, uint64_t min_weight) {
    const Vec in_reach = _mm256_cmp_ps(t, Broadcast(-41.0F), _CMP_GT_OQ);
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i wanted =
        _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(mask)), bits), bits);
    const __m256i counts = _mm256_and_si256(_mm256_castps_si256(in_reach), wanted);
    const Vec n = _mm256_round_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    const __m256i significand = _mm256_and_si256(
        counts, _mm256_cvttps_epi32(Mul(Exp2OfFraction(Sub(t, n)), Broadcast(8388608.0F))));
    const __m256i shift = _mm256_cvttps_epi32(Sub(Zero(), n));
    AddHalf(_mm256_castsi256_si128(significand), _mm256_castsi256_si128(shift), min_weight);
    AddHalf(_mm256_extracti128_si256(significand, 1), _mm256_extracti128_si256(shift, 1),
            min_weight);
  }
  uint64_t Total() const {
    uint64_t lanes[4];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sum_);
    return lanes[0] + lanes[1] + lanes[2] + lanes[3];
  }

 private:
  void AddHalf(__m128i significand, __m128i shift, uint64_t min_weight) {
    const __m256i w = _mm256_srlv_epi64(_mm256_slli_epi64(_mm256_cvtepu32_epi64(significand), 17),
                                        _mm256_cvtepu32_epi64(shift));
    // Weights are below 2^42, so that signed comparison will do.
    const __m256i least = _mm256_set1_epi64x(static_cast<int64_t>(min_weight) - 1);
    sum_ = _mm256_add_epi64(sum_, _mm256_and_si256(w, _mm256_cmpgt_epi64(w, least)));
  }

  __m256i sum_ = _mm256_setzero_si256();
};

#else

inline uint32_t AtLeastMask(Vec x, Vec y) {
  uint32_t mask = 0;
  for (int i = 0; i < kLanes; ++i) mask |= (x[i] >= y[i] ? 1U : 0U) << i;
  return mask;
}
inline uint32_t AboveMask(Vec x, Vec y) {
  uint32_t mask = 0;
  for (int i = 0; i < kLanes; ++i) mask |= (x[i] > y[i] ? 1U : 0U) << i;
  return mask;
}

class WeightSum {
 public:
  void Add(Vec t, uint32_t mask, uint64_t min_weight) {
    for (int i = 0; i < kLanes; ++i) {
      if ((mask >> i & 1U) == 0 || !(t[i] > -41.0F)) continue;
      const float n = __builtin_floorf(t[i]);
      const auto significand = static_cast<uint64_t>(Significand(t[i] - n) * 8388608.0F);
      const uint64_t w = (significand << 17) >> static_cast<int>(-n);
      if (w >= min_weight) sum_ += w;
    }
  }
  uint64_t Total() const { return sum_; }

 private:
  static float Significand(float f) {  // rounds once a step, unlike Fma here
    float p = 1.86713005e-3F;
    p = __builtin_fmaf(p, f, 9.01703071e-3F);
    p = __builtin_fmaf(p, f, 5.57999127e-2F);
    p = __builtin_fmaf(p, f, 2.40164444e-1F);
    p = __builtin_fmaf(p, f, 6.93151295e-1F);
    return __builtin_fmaf(p, f, 1.0F);
  }

  uint64_t sum_ = 0;
};

#endif

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_CORE_CPU_SIMD_SAMPLING_H_
