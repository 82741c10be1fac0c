// One head, or another run of elements, in fp32: read, normalised, written back.
#ifndef QUIRE_ATTENTION_CPU_KERNELS_HEAD_ROWS_H_
#define QUIRE_ATTENTION_CPU_KERNELS_HEAD_ROWS_H_

#include "core/cpu/simd/elements.h"

namespace quire::QUIRE_ISA {

// x [n] = elements from `data` on, in fp32.
inline void LoadRow(const void* data, ElementType type, int64_t n, float* x) {
  for (int64_t d = 0; d < n; d += kLanes) {
    const int lanes = LanesOf(n - d);
    StoreElements(x, ElementType::kFloat32, d, LoadElements(data, type, d, lanes), lanes);
  }
}

inline void StoreRow(const float* x, int64_t n, ElementType type, void* data) {
  for (int64_t d = 0; d < n; d += kLanes) {
    const int lanes = LanesOf(n - d);
    StoreElements(data, type, d, LoadElements(x, ElementType::kFloat32, d, lanes), lanes);
  }
}

// 1 / rms of n elements.
inline float InverseRms(const void* data, ElementType type, int64_t n, float eps) {
  Vec sum = Zero();
  for (int64_t d = 0; d < n; d += kLanes) {
    const Vec v = LoadElements(data, type, d, LanesOf(n - d));
    sum = Fma(v, v, sum);
  }
  return 1.0F / __builtin_sqrtf(ReduceAdd(sum) / static_cast<float>(n) + eps);
}

// x [n] = x scale weight.
inline void ScaleRow(float* x, int64_t n, float scale, const float* weight) {
  for (int64_t d = 0; d < n; d += kLanes) {
    const int lanes = LanesOf(n - d);
    Vec v = Mul(LoadElements(x, ElementType::kFloat32, d, lanes), Broadcast(scale));
    if (weight != nullptr) v = Mul(v, LoadElements(weight, ElementType::kFloat32, d, lanes));
    StoreElements(x, ElementType::kFloat32, d, v, lanes);
  }
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_ATTENTION_CPU_KERNELS_HEAD_ROWS_H_
