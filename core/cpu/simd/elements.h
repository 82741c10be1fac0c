// Vectors of elements whose type is known at run time.
#ifndef QUIRE_CORE_CPU_SIMD_ELEMENTS_H_
#define QUIRE_CORE_CPU_SIMD_ELEMENTS_H_

#include "core/cpu/simd/element_type.h"
#include "core/cpu/simd/vec.h"

namespace quire::QUIRE_ISA {

// Lanes of a vector that `left` elements fill.
inline int LanesOf(int64_t left) { return static_cast<int>(left < kLanes ? left : kLanes); }

// Elements [index, index + n) widened to fp32, zeros behind them; n in [1, kLanes].
inline Vec LoadElements(const void* data, ElementType type, int64_t index, int n) {
  if (type == ElementType::kFloat32) {
    const float* p = static_cast<const float*>(data) + index;
    return n == kLanes ? Load(p) : LoadFirst(p, n);
  }
  const uint16_t* p = static_cast<const uint16_t*>(data) + index;
  if (type == ElementType::kBFloat16) return n == kLanes ? LoadBf16(p) : LoadBf16First(p, n);
  return n == kLanes ? LoadHalf(p) : LoadHalfFirst(p, n);
}

// Rounds to `type`, fp32 or bf16.
inline void StoreElements(void* data, ElementType type, int64_t index, Vec x, int n) {
  if (type == ElementType::kFloat32) {
    float* p = static_cast<float*>(data) + index;
    n == kLanes ? Store(p, x) : StoreFirst(p, x, n);
  } else {
    uint16_t* p = static_cast<uint16_t*>(data) + index;
    n == kLanes ? StoreBf16(p, x) : StoreBf16First(p, x, n);
  }
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_CORE_CPU_SIMD_ELEMENTS_H_
