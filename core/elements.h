// Reading and writing single elements whose type is known at run time: for references, tests and
// other code where clarity matters and speed does not.
#ifndef QUIRE_CORE_ELEMENTS_H_
#define QUIRE_CORE_ELEMENTS_H_

#include <cstdint>

#include "core/check.h"
#include "core/device_memory.h"
#include "core/dtype.h"

namespace quire {

inline float LoadElement(const void* data, DType dtype, int64_t index) {
  switch (dtype) {
    case DType::kFloat32:
      return static_cast<const float*>(data)[index];
    case DType::kBFloat16:
      return ToFloat(static_cast<const bf16*>(data)[index]);
    case DType::kFloat16:
      return HalfToFloat(static_cast<const uint16_t*>(data)[index]);
  }
  return 0.0F;
}

// Rounds to `dtype`, which is not kFloat16.
inline void StoreElement(void* data, DType dtype, int64_t index, float value) {
  QUIRE_CHECK(dtype != DType::kFloat16);
  if (dtype == DType::kFloat32) {
    static_cast<float*>(data)[index] = value;
  } else {
    static_cast<bf16*>(data)[index] = ToBf16(value);
  }
}

inline float LoadElement(const DeviceMatrix& m, int64_t row, int64_t col) {
  return LoadElement(m.data, m.dtype, row * m.row_stride + col);
}

inline void StoreElement(const DeviceMatrix& m, int64_t row, int64_t col, float value) {
  StoreElement(m.data, m.dtype, row * m.row_stride + col, value);
}

// `value` as a tensor of type `dtype` holds it.
inline float RoundTo(DType dtype, float value) {
  return dtype == DType::kBFloat16 ? ToFloat(ToBf16(value)) : value;
}

}  // namespace quire

#endif  // QUIRE_CORE_ELEMENTS_H_
