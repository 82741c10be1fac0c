// Rows side by side: the left-hand side of a tile.
#ifndef QUIRE_CORE_CPU_SIMD_INTERLEAVE_H_
#define QUIRE_CORE_CPU_SIMD_INTERLEAVE_H_

#include "core/cpu/simd/vec.h"

namespace quire::QUIRE_ISA {

// out [numbers, rows] = the transpose of rows of 4-byte numbers: load(r, i) gives numbers
// [i, i + kLanes) of row r, with anything behind the last. Squares are turned in registers.
template <typename LoadNumbers>
inline void Interleave(int rows, int64_t numbers, float* out, LoadNumbers load) {
  for (int64_t i = 0; i < numbers; i += kLanes) {
    const int count = static_cast<int>(numbers - i < kLanes ? numbers - i : kLanes);
    for (int first = 0; first < rows; first += kLanes) {
      const int some = rows - first < kLanes ? rows - first : kLanes;
      Vec square[kLanes];
      for (int r = 0; r < kLanes; ++r) square[r] = r < some ? load(first + r, i) : Zero();
      Transpose(square);
      for (int n = 0; n < count; ++n) StoreFirst(out + (i + n) * rows + first, square[n], some);
    }
  }
}

}  // namespace quire::QUIRE_ISA

#endif  // QUIRE_CORE_CPU_SIMD_INTERLEAVE_H_
