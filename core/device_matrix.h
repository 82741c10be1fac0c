// Views of device memory, in a form that kernels can include.
#ifndef QUIRE_CORE_DEVICE_MATRIX_H_
#define QUIRE_CORE_DEVICE_MATRIX_H_

#include <cstdint>

#include "core/number_types.h"

namespace quire {

// A row-major matrix [rows, cols] in device memory, borrowed. Strides in elements. Only a backend
// reads `data`.
struct DeviceMatrix {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;

  template <typename T>
  T* Row(int64_t row) const {
    return static_cast<T*>(data) + row * row_stride;
  }
  // Rows [begin, begin + count).
  DeviceMatrix Rows(int64_t begin, int64_t count) const {
    DeviceMatrix view = *this;
    view.data =
        static_cast<char*>(data) + begin * row_stride * static_cast<int64_t>(DTypeBytes(dtype));
    view.rows = count;
    return view;
  }
  // Columns [begin, begin + count).
  DeviceMatrix Columns(int64_t begin, int64_t count) const {
    DeviceMatrix view = *this;
    view.data = static_cast<char*>(data) + begin * static_cast<int64_t>(DTypeBytes(dtype));
    view.cols = count;
    return view;
  }
};

// A flat array in device memory, borrowed.
template <typename T>
struct DeviceArray {
  T* data = nullptr;
  int64_t size = 0;
};

}  // namespace quire

#endif  // QUIRE_CORE_DEVICE_MATRIX_H_
