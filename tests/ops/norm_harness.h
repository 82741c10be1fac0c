// What tests of norms share, whatever computes them.
#ifndef QUIRE_TESTS_OPS_NORM_HARNESS_H_
#define QUIRE_TESTS_OPS_NORM_HARNESS_H_

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "ops/ops.h"
#include "tests/testing/matrix.h"

namespace quire::testing {

inline constexpr NormKind kNormKinds[] = {NormKind::kNone, NormKind::kRms, NormKind::kLayer};

// Weights and biases around 1, in the memory of `ops`.
inline Norm RandomNorm(Ops& ops, NormKind kind, int64_t width, bool weight = true,
                       bool bias = true) {
  const auto random_vector = [&](uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(1.0F, 0.2F);
    std::vector<float> values(width);
    for (float& value : values) value = normal(random);
    return ops.MakeVector(values).value();
  };
  Norm norm{.kind = kind, .eps = 1e-5F};
  if (weight) norm.weight = random_vector(3);
  if (bias) norm.bias = random_vector(4);
  return norm;
}

// The sum of squares is off by a few roundings (its terms are positive), the scale by half of that
// and a rounding or two, products and bias by three more. A mean is off by roundings of `size`,
// that of the row, which count where it cancels most of a number.
inline ::testing::AssertionResult NearNorm(const HostMatrix& got, const HostMatrix& want,
                                           double size) {
  return Near(got, want, [&](int64_t r, int64_t c) {
    const double value = std::fabs(want.at(r, c));
    return 16 * 0x1p-24 * (value + size) + 2 * RoundingError(want.view().dtype, value);
  });
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_OPS_NORM_HARNESS_H_
