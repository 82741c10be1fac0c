// Weights for tests of products.
#ifndef QUIRE_TESTS_TESTING_LINEARS_H_
#define QUIRE_TESTS_TESTING_LINEARS_H_

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "ops/ops.h"
#include "tests/testing/matrix.h"

namespace quire::testing {

// A part as a checkpoint stores it: random weights of norm about 1 a row, and their bytes.
struct PartSpec {
  int64_t out_features = 1;
  DType dtype = DType::kBFloat16;
  bool bias = false;
};

// Owns what a LinearSpec borrows.
class LinearSource {
 public:
  LinearSource(int64_t in_features, DType act_dtype, const std::vector<PartSpec>& parts,
               uint32_t seed = 1);
  const LinearSpec& spec() const { return spec_; }
  // Weight [row, col] of the merged matrix, as stored.
  float weight(int64_t row, int64_t col) const;
  int64_t out_features() const;
  // Euclidean norm of each row.
  std::vector<double> RowNorms() const;

 private:
  std::vector<std::vector<uint8_t>> storage_;
  LinearSpec spec_;
};

// Whether `got` is the `want` that the oracle made of x and the source's weights. Sums of K
// products, each rounded to fp32 at the size of |x| |w| at most, walk off by sqrt(K) roundings;
// then y is rounded once.
::testing::AssertionResult NearProduct(const LinearSource& source, const HostMatrix& x,
                                       const HostMatrix& got, const HostMatrix& want);

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_LINEARS_H_
