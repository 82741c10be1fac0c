// The exponential and what is made of it. Each function has two forms:
// - kFast = false, for fp32 results: the arithmetic of core/cpu/simd, operation by operation, so
//   that it gives the bits of the CPU's instruction sets that fuse multiply-adds;
// - kFast = true, for results that become bf16: the device's own 2^x and 1 / x, of which the
//   last two bits are its own.
// Accuracies are in units of the last place of the result.
#ifndef QUIRE_OPS_CUDA_SPECIAL_CUH_
#define QUIRE_OPS_CUDA_SPECIAL_CUH_

#include <bit>
#include <cstdint>

#include "core/cuda/primitives/numbers.cuh"
#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

inline constexpr float kLog2E = 0x1.715476p+0F;

// e^x to 2 units for |x| <= 87, e^(+-87) beyond, NaN for NaN: x = n ln 2 + r, with ln 2 in two
// parts of which n times the first is exact, and 2^(r / ln 2) by a polynomial (2e-9).
QUIRE_DEVICE float Exp(float x) {
  const float clamped = x > 87.0F ? 87.0F : x < -87.0F ? -87.0F : x;
  // Added to a number of less than 2^22 it leaves that number's nearest integer in the lowest bits.
  constexpr float kRounder = 0x1.8p23F;
  const float shifted = Multiply(clamped, kLog2E) + kRounder;
  const float n = shifted - kRounder;
  const float r = Fma(-n, 0x1.7f7d1cp-20F, Fma(-n, 0x1.62e4p-1F, clamped));
  const float f = Multiply(r, kLog2E);
  float p = 0x1.41fbbcp-13F;
  p = Fma(p, f, 0x1.5f3e54p-10F);
  p = Fma(p, f, 0x1.3b2d4cp-7F);
  p = Fma(p, f, 0x1.c6aee8p-5F);
  p = Fma(p, f, 0x1.ebfbdcp-3F);
  p = Fma(p, f, 0x1.62e43p-1F);
  p = Fma(p, f, 1.0F);
  const uint32_t steps = std::bit_cast<uint32_t>(shifted) << 23;
  return x == x ? std::bit_cast<float>(std::bit_cast<uint32_t>(p) + steps) : x;
}

template <bool kFast>
QUIRE_DEVICE float ExpOf(float x) {
  if constexpr (kFast) {
    return FastExp2(x * kLog2E);
  } else {
    return Exp(x);
  }
}
template <bool kFast>
QUIRE_DEVICE float Quotient(float x, float y) {
  if constexpr (kFast) {
    return x * FastReciprocal(y);
  } else {
    return ExactDivide(x, y);
  }
}

// 1 / (1 + e^-x), to 3 units for |x| <= 87.
template <bool kFast>
QUIRE_DEVICE float Sigmoid(float x) {
  return Quotient<kFast>(1.0F, 1.0F + ExpOf<kFast>(-x));
}

// To 2 units: near 0 by a polynomial (4e-9), elsewhere by 1 - 2 / (e^2|x| + 1).
QUIRE_DEVICE float Tanh(float x) {
  const float size = x < 0.0F ? -x : x;
  const float square = Multiply(x, x);
  float p = -0x1.75e1a8p-8F;
  p = Fma(p, square, 0x1.522692p-6F);
  p = Fma(p, square, -0x1.b83c58p-5F);
  p = Fma(p, square, 0x1.110726p-3F);
  p = Fma(p, square, -0x1.555532p-2F);
  const float near = Fma(Multiply(p, square), x, x);
  const float far = 1.0F - ExactDivide(2.0F, Exp(2.0F * size) + 1.0F);
  return size < 0.625F ? near : x < 0.0F ? -far : far;
}

// The normal distribution function (1 + erf(x / sqrt(2))) / 2, to 8 + x^2 / 2 units; 0 below -13.
// Its tail is e^(-x^2 / 2) s P(s) with s = 1 / (1 + 0.4 |x| / sqrt(2)) and a polynomial P (7e-9).
template <bool kFast>
QUIRE_DEVICE float NormalCdf(float x) {
  const float size = x < 0.0F ? -x : x;
  const float s = Quotient<kFast>(1.0F, Fma(size, 0x1.21a186p-2F, 1.0F));
  float p = -0x1.f1efeep-7F;
  p = Fma(p, s, 0x1.9e6f6ep-4F);
  p = Fma(p, s, -0x1.04a64ep-2F);
  p = Fma(p, s, 0x1.1f55a6p-2F);
  p = Fma(p, s, -0x1.2efb3p-3F);
  p = Fma(p, s, 0x1.1cf6eep-3F);
  p = Fma(p, s, 0x1.05261cp-4F);
  p = Fma(p, s, 0x1.b91cc2p-4F);
  p = Fma(p, s, 0x1.cc95dep-4F);
  p = Fma(p, s, 0x1.ce40f8p-4F);
  const float tail = Multiply(p * s, ExpOf<kFast>(x * x * -0.5F));
  if (x < 0.0F) return x < -13.0F ? 0.0F : tail;
  return 1.0F - tail;
}

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_OPS_CUDA_SPECIAL_CUH_
