// Numbers: packs of them that move as one, bf16 to fp32 and back, fast functions.
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_NUMBERS_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_NUMBERS_CUH_

#include <bit>

#include "core/cuda/primitives/target.cuh"
#include "core/number_types.h"
#if QUIRE_EMULATED
#include <cmath>
#endif

namespace quire::QUIRE_CUDA_TARGET {

// N numbers that are loaded and stored by one instruction: at most 16 bytes, aligned to their size.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T values[N];

  QUIRE_DEVICE T& operator[](int i) { return values[i]; }
  QUIRE_DEVICE const T& operator[](int i) const { return values[i]; }
};

// The most numbers that one instruction moves.
template <typename T>
inline constexpr int kPackOf16Bytes = 16 / static_cast<int>(sizeof(T));

// Rounded to nearest, ties to even. (Of a NaN only that it is one is kept.)
template <typename T>
QUIRE_DEVICE T Narrow(float x) {
#if QUIRE_EMULATED
  return FromFloat<T>(x);
#else
  if constexpr (sizeof(T) == 2) {
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return T{bits};
  } else {
    return x;
  }
#endif
}

// Two bf16 numbers in a register, `low` in the lower half: what matrix fragments consist of.
QUIRE_DEVICE uint32_t PackBf16(float low, float high) {
#if QUIRE_EMULATED
  return ToBf16(low).bits | (uint32_t{ToBf16(high).bits} << 16);
#else
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
#endif
}
QUIRE_DEVICE float LowBf16(uint32_t packed) { return std::bit_cast<float>(packed << 16); }
QUIRE_DEVICE float HighBf16(uint32_t packed) { return std::bit_cast<float>(packed & 0xffff0000U); }

// a b + c, rounded once.
QUIRE_DEVICE float Fma(float a, float b, float c) {
#if QUIRE_EMULATED
  return std::fma(a, b, c);
#else
  return __fmaf_rn(a, b, c);
#endif
}

// a b, rounded by itself: no compiler makes a fused sum of it and what it is added to.
QUIRE_DEVICE float Multiply(float a, float b) {
#if QUIRE_EMULATED
  return a * b;
#else
  return __fmul_rn(a, b);
#endif
}

// How many of them are ones.
QUIRE_DEVICE int CountBits(uint32_t bits) {
#if QUIRE_EMULATED
  return std::popcount(bits);
#else
  return __popc(bits);
#endif
}

// 2^x, within 2 units in the last place; results below 2^-126 are 0.
QUIRE_DEVICE float FastExp2(float x) {
#if QUIRE_EMULATED
  const float value = std::exp2(x);
  return value < 0x1p-126F ? 0.0F : value;
#else
  float value;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
#endif
}

// 1 / sqrt(x), relative error below 2^-22.
QUIRE_DEVICE float FastRsqrt(float x) {
#if QUIRE_EMULATED
  return static_cast<float>(1.0 / std::sqrt(double{x}));
#else
  float value;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
#endif
}

// 1 / x, within 1 unit in the last place; results below 2^-126 are 0.
QUIRE_DEVICE float FastReciprocal(float x) {
#if QUIRE_EMULATED
  const float value = 1.0F / x;
  return std::fabs(value) < 0x1p-126F ? std::copysign(0.0F, value) : value;
#else
  float value;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
#endif
}

// tanh(x), relative error below 2^-10: for results that become bf16.
QUIRE_DEVICE float FastTanh(float x) {
#if QUIRE_EMULATED
  return std::tanh(x);
#else
  float value;
  asm("tanh.approx.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
#endif
}

// x y, rounded: never fused with a sum that it is part of.
QUIRE_DEVICE float ExactMultiply(float x, float y) {
#if QUIRE_EMULATED
  return x * y;
#else
  return __fmul_rn(x, y);
#endif
}

// 1 / sqrt(x) and x / y as IEEE says, roundings and all.
QUIRE_DEVICE float ExactRsqrt(float x) {
#if QUIRE_EMULATED
  return 1.0F / std::sqrt(x);
#else
  return __frcp_rn(__fsqrt_rn(x));
#endif
}
QUIRE_DEVICE float ExactDivide(float x, float y) {
#if QUIRE_EMULATED
  return x / y;
#else
  return __fdiv_rn(x, y);
#endif
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_NUMBERS_CUH_
