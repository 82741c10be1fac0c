// Hands out the pieces of one buffer, in order.
#ifndef QUIRE_MODEL_ARENA_H_
#define QUIRE_MODEL_ARENA_H_

#include <cstddef>
#include <cstdint>

#include "core/device_memory.h"
#include "core/dtype.h"

namespace quire {

// `base` null: counts the bytes that the pieces would take.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<char*>(base)) {}

  DeviceMatrix Matrix(DType dtype, int64_t rows, int64_t cols) {
    return {.data = Take(static_cast<size_t>(rows * cols) * DTypeBytes(dtype)),
            .dtype = dtype,
            .rows = rows,
            .cols = cols,
            .row_stride = cols};
  }
  int32_t* Ids(int64_t count) {
    return static_cast<int32_t*>(Take(static_cast<size_t>(count) * sizeof(int32_t)));
  }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t kAlignment = 256;

  void* Take(size_t bytes) {
    char* taken = base_ + bytes_;
    bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return taken;
  }

  char* base_;
  size_t bytes_ = 0;
};

}  // namespace quire

#endif  // QUIRE_MODEL_ARENA_H_
