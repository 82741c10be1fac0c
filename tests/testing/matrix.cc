#include "tests/testing/matrix.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/elements.h"

namespace quire::testing {

HostMatrix::HostMatrix(DType dtype, int64_t rows, int64_t cols, int64_t row_stride)
    : view_{nullptr, dtype, rows, cols, row_stride == 0 ? cols : row_stride},
      // Exactly the bytes of the matrix, so that AddressSanitizer sees a step over its end. 0xff is
      // NaN in bf16 and fp32.
      storage_(rows == 0 ? 0 : ((rows - 1) * view_.row_stride + cols) * DTypeBytes(dtype), 0xff) {
  view_.data = storage_.data();
}

HostMatrix::HostMatrix(const HostMatrix& other) : view_(other.view_), storage_(other.storage_) {
  view_.data = storage_.data();
}

float HostMatrix::at(int64_t row, int64_t col) const { return LoadElement(view_, row, col); }

void HostMatrix::set(int64_t row, int64_t col, float value) {
  StoreElement(view_, row, col, value);
}

HostMatrix& HostMatrix::FillNormal(uint32_t seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (int64_t r = 0; r < view_.rows; ++r) {
    for (int64_t c = 0; c < view_.cols; ++c) set(r, c, scale * normal(random));
  }
  return *this;
}

bool HostMatrix::SameRowBits(int64_t row, const HostMatrix& other, int64_t other_row) const {
  const size_t element = DTypeBytes(view_.dtype);
  return std::memcmp(storage_.data() + row * view_.row_stride * element,
                     other.storage_.data() + other_row * other.view_.row_stride * element,
                     view_.cols * element) == 0;
}

::testing::AssertionResult Near(const HostMatrix& got, const HostMatrix& want,
                                absl::FunctionRef<double(int64_t row, int64_t col)> bound) {
  double worst = -1.0;  // of |difference| / bound
  std::string what;
  for (int64_t r = 0; r < want.view().rows; ++r) {
    for (int64_t c = 0; c < want.view().cols; ++c) {
      if (got.at(r, c) == want.at(r, c)) continue;
      const double difference = std::fabs(double{got.at(r, c)} - want.at(r, c));
      const double allowed = bound(r, c);
      const double excess =
          std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference / allowed;
      if (excess <= worst) continue;
      worst = excess;
      what = absl::StrCat("worst element [", r, ", ", c, "]: got ", got.at(r, c), ", want ",
                          want.at(r, c), ", difference ", difference, " is ", excess,
                          " of the allowed ", allowed);
    }
  }
  if (worst > 1.0) return ::testing::AssertionFailure() << what;
  return ::testing::AssertionSuccess() << what;
}

double RoundingError(DType dtype, double x) {
  return std::fabs(x) * (dtype == DType::kBFloat16 ? 0x1p-8 : 0x1p-24);
}

}  // namespace quire::testing
