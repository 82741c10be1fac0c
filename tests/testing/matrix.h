// Host matrices for tests, and their comparison.
#ifndef QUIRE_TESTS_TESTING_MATRIX_H_
#define QUIRE_TESTS_TESTING_MATRIX_H_

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "core/device_memory.h"
#include "gtest/gtest.h"

namespace quire::testing {

// Owns [rows, cols] with rows `row_stride` elements apart. Everything is NaN until written, and
// what lies between the rows must stay so.
class HostMatrix {
 public:
  HostMatrix(DType dtype, int64_t rows, int64_t cols, int64_t row_stride = 0);
  HostMatrix(const HostMatrix& other);
  HostMatrix& operator=(const HostMatrix&) = delete;

  const DeviceMatrix& view() const { return view_; }
  float at(int64_t row, int64_t col) const;
  void set(int64_t row, int64_t col, float value);
  // Standard normal values times `scale`.
  HostMatrix& FillNormal(uint32_t seed, float scale = 1.0F);

  // The same bytes everywhere, those between the rows too.
  bool SameBits(const HostMatrix& other) const { return storage_ == other.storage_; }
  bool SameRowBits(int64_t row, const HostMatrix& other, int64_t other_row) const;

 private:
  DeviceMatrix view_;
  std::vector<uint8_t> storage_;
};

// Whether |got - want| <= bound(row, col) everywhere; a failure names the worst element.
::testing::AssertionResult Near(const HostMatrix& got, const HostMatrix& want,
                                absl::FunctionRef<double(int64_t row, int64_t col)> bound);

// The most that one rounding to `dtype` moves a number of magnitude |x|.
double RoundingError(DType dtype, double x);

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_MATRIX_H_
