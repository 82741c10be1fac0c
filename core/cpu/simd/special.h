// Sigmoid, tanh and the normal distribution over vectors. Accuracies are in units of the last place
// of the result, measured over all of fp32 with fused multiply-adds.
#ifndef QUIRE_CORE_CPU_SIMD_SPECIAL_H_
#define QUIRE_CORE_CPU_SIMD_SPECIAL_H_

#include "core/cpu/simd/vec.h"

namespace quire::QUIRE_ISA {

// 1 / (1 + e^-x), to 3 units for |x| <= 87; no less than e^-87.
inline Vec Sigmoid(Vec x) {
  const Vec one = Broadcast(1.0F);
  return Div(one, Add(one, Exp(Sub(Zero(), x))));
}

// To 3 units: near 0 by a polynomial fitted to the least relative error (4e-9), elsewhere by
// 1 - 2 / (e^2|x| + 1).
inline Vec Tanh(Vec x) {
  const Vec size = Max(Sub(Zero(), x), x);
  const Vec square = Mul(x, x);
  Vec p = Broadcast(-0x1.75e1a8p-8F);
  p = Fma(p, square, Broadcast(0x1.522692p-6F));
  p = Fma(p, square, Broadcast(-0x1.b83c58p-5F));
  p = Fma(p, square, Broadcast(0x1.110726p-3F));
  p = Fma(p, square, Broadcast(-0x1.555532p-2F));
  const Vec near = Fma(Mul(p, square), x, x);
  const Vec one = Broadcast(1.0F);
  const Vec far = Sub(one, Div(Broadcast(2.0F), Add(Exp(Mul(Broadcast(2.0F), size)), one)));
  const Vec signed_far = WhereLess(x, Zero(), Sub(Zero(), far), far);
  return WhereLess(size, Broadcast(0.625F), near, signed_far);
}

// The normal distribution function (1 + erf(x / sqrt(2))) / 2, to 4 + x^2 / 2 units (the
// exponential of a rounded x^2); 0 below -13. Its tail is e^(-x^2 / 2) s P(s) with s = 1 / (1 + 0.4
// |x| / sqrt(2)) and a polynomial P fitted to the least relative error (7e-9).
inline Vec NormalCdf(Vec x) {
  const Vec size = Max(Sub(Zero(), x), x);
  const Vec one = Broadcast(1.0F);
  const Vec s = Div(one, Fma(size, Broadcast(0x1.21a186p-2F), one));
  Vec p = Broadcast(-0x1.f1f27cp-7F);
  p = Fma(p, s, Broadcast(0x1.9e7116p-4F));
  p = Fma(p, s, Broadcast(-0x1.04a73cp-2F));
  p = Fma(p, s, Broadcast(0x1.1f56d4p-2F));
  p = Fma(p, s, Broadcast(-0x1.2efd0ep-3F));
  p = Fma(p, s, Broadcast(0x1.1ce7ep-3F));
  p = Fma(p, s, Broadcast(0x1.05257ep-4F));
  p = Fma(p, s, Broadcast(0x1.b91ce2p-4F));
  p = Fma(p, s, Broadcast(0x1.cc95dap-4F));
  p = Fma(p, s, Broadcast(0x1.ce40f8p-4F));
  const Vec tail = Mul(Mul(p, s), Exp(Mul(Mul(x, x), Broadcast(-0.5F))));
  const Vec upper = WhereLess(x, Broadcast(-13.0F), Zero(), tail);
  return WhereLess(x, Zero(), upper, Sub(one, tail));
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_CORE_CPU_SIMD_SPECIAL_H_
