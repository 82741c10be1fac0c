// Host matrices as emulated kernels see them.
#ifndef QUIRE_TESTS_TESTING_EMULATED_MATRIX_H_
#define QUIRE_TESTS_TESTING_EMULATED_MATRIX_H_

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "core/cuda/emulation/global_memory.h"
#include "core/device_matrix.h"

namespace quire::testing {

// Strides of rows of `width` numbers, gaps behind them: rows that all begin where packs of 16 bytes
// do, and rows that do not.
inline std::array<int64_t, 2> RowStrides(int64_t width) {
  return {(width + 15) / 8 * 8, (width + 3) | 1};
}

// `matrix` is global memory as long as this lives, and nothing between its rows is. Its numbers may
// be read at once (input) or once the kernel has written them (output).
class EmulatedMatrix {
 public:
  enum Use { kInput, kOutput };

  EmulatedMatrix(std::string name, const DeviceMatrix& matrix, Use use)
      : matrix_(matrix),
        region_(std::move(name), matrix.data, matrix.rows == 0 ? 0 : RowAt(matrix.rows - 1) + Row(),
                use == kInput ? State::kWritten : State::kUnwritten) {
    for (int64_t row = 0; row + 1 < matrix.rows; ++row) {
      region_.Mark(RowAt(row) + Row(), RowAt(1) - Row(), State::kForbidden);
    }
  }

  bool IsWritten() const {
    for (int64_t row = 0; row < matrix_.rows; ++row) {
      if (!region_.IsWritten(RowAt(row), Row())) return false;
    }
    return true;
  }

 private:
  using State = emulation::GlobalRegion::ByteState;

  int64_t Element() const { return static_cast<int64_t>(DTypeBytes(matrix_.dtype)); }
  int64_t Row() const { return matrix_.cols * Element(); }  // bytes of one
  int64_t RowAt(int64_t row) const { return row * matrix_.row_stride * Element(); }

  DeviceMatrix matrix_;
  emulation::GlobalRegion region_;
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_EMULATED_MATRIX_H_
