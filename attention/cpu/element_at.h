// Addresses of elements of host matrices.
#ifndef QUIRE_ATTENTION_CPU_ELEMENT_AT_H_
#define QUIRE_ATTENTION_CPU_ELEMENT_AT_H_

#include <cstdint>

#include "core/device_memory.h"
#include "core/dtype.h"

namespace quire {

inline char* ElementAt(const DeviceMatrix& matrix, int64_t row, int64_t col) {
  return static_cast<char*>(matrix.data) +
         (row * matrix.row_stride + col) * static_cast<int64_t>(DTypeBytes(matrix.dtype));
}

}  // namespace quire

#endif  // QUIRE_ATTENTION_CPU_ELEMENT_AT_H_
