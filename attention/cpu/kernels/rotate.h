// The rotation of one head in fp32, in place.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_ROTATE_H_
#define QUIRE_ATTENTION_CPU_KERNELS_ROTATE_H_

#include "attention/cpu/kernels/attention_kernels.h"
#include "core/cpu/simd/elements.h"

namespace quire::QUIRE_ISA {

// Dim i turns with dim i + rotary_dim / 2.
inline void RotateHalves(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const int lanes = LanesOf(half - i);
    const Vec c = LoadElements(cos, ElementType::kFloat32, i, lanes);
    const Vec s = LoadElements(sin, ElementType::kFloat32, i, lanes);
    const Vec a = LoadElements(x, ElementType::kFloat32, i, lanes);
    const Vec b = LoadElements(x, ElementType::kFloat32, half + i, lanes);
    StoreElements(x, ElementType::kFloat32, i, Fma(a, c, Sub(Zero(), Mul(b, s))), lanes);
    StoreElements(x, ElementType::kFloat32, half + i, Fma(b, c, Mul(a, s)), lanes);
  }
}

// Dim 2 i turns with dim 2 i + 1.
inline void RotatePairs(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = a * cos[i] - b * sin[i];
    x[2 * i + 1] = b * cos[i] + a * sin[i];
  }
}

// x [>= rotary_dim] by the angles of row `row`.
inline void Rotate(float* x, const RopeRowsArgs& rope, int64_t row) {
  const int64_t half = rope.rotary_dim / 2;
  const auto rotate = rope.interleaved ? RotatePairs : RotateHalves;
  rotate(x, rope.cos + row * half, rope.sin + row * half, half);
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_ATTENTION_CPU_KERNELS_ROTATE_H_
