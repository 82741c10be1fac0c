#include "tests/testing/linears.h"

#include <cmath>
#include <cstring>
#include <random>

#include "core/elements.h"

namespace quire::testing {
namespace {

// Truncates to a half of normal range; exact arithmetic is not needed, only a valid encoding.
uint16_t ToHalfBits(float x) {
  if (std::fabs(x) < 0x1p-14F) return 0;
  int exponent = 0;
  const float fraction = std::frexp(std::fabs(x), &exponent);  // in [0.5, 1)
  const auto mantissa = static_cast<uint16_t>(std::ldexp(fraction, 11)) & 0x3ffU;
  const auto biased = static_cast<uint16_t>(exponent + 14);
  return static_cast<uint16_t>((x < 0 ? 0x8000U : 0U) | (biased << 10) | mantissa);
}

std::vector<uint8_t> RandomBytes(DType dtype, int64_t count, float scale, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<uint8_t> bytes(count * DTypeBytes(dtype));
  for (int64_t i = 0; i < count; ++i) {
    const float x = scale * normal(random);
    if (dtype == DType::kFloat16) {
      const uint16_t half = ToHalfBits(x);
      std::memcpy(bytes.data() + 2 * i, &half, 2);
    } else {
      StoreElement(bytes.data(), dtype, i, x);
    }
  }
  return bytes;
}

}  // namespace

LinearSource::LinearSource(int64_t in_features, DType act_dtype, const std::vector<PartSpec>& parts,
                           uint32_t seed)
    : spec_{"test", in_features, {}, act_dtype} {
  std::mt19937 random(seed);
  const float scale = 1.0F / std::sqrt(static_cast<float>(in_features));
  for (const PartSpec& part : parts) {
    WeightRows rows;
    storage_.push_back(RandomBytes(part.dtype, part.out_features * in_features, scale, random));
    rows.weight = storage_.back().data();
    rows.weight_dtype = part.dtype;
    rows.out_features = part.out_features;
    if (part.bias) {
      storage_.push_back(RandomBytes(part.dtype, part.out_features, 1.0F, random));
      rows.bias = storage_.back().data();
      rows.bias_dtype = part.dtype;
    }
    spec_.parts.push_back(rows);
  }
}

float LinearSource::weight(int64_t row, int64_t col) const {
  for (const WeightRows& part : spec_.parts) {
    if (row < part.out_features) {
      return LoadElement(part.weight, part.weight_dtype, row * spec_.in_features + col);
    }
    row -= part.out_features;
  }
  return 0.0F;
}

int64_t LinearSource::out_features() const {
  int64_t rows = 0;
  for (const WeightRows& part : spec_.parts) rows += part.out_features;
  return rows;
}

std::vector<double> LinearSource::RowNorms() const {
  std::vector<double> norms;
  for (const WeightRows& part : spec_.parts) {
    for (int64_t row = 0; row < part.out_features; ++row) {
      double sum = 0.0;
      for (int64_t col = 0; col < spec_.in_features; ++col) {
        const double w = LoadElement(part.weight, part.weight_dtype, row * spec_.in_features + col);
        sum += w * w;
      }
      norms.push_back(std::sqrt(sum));
    }
  }
  return norms;
}

::testing::AssertionResult NearProduct(const LinearSource& source, const HostMatrix& x,
                                       const HostMatrix& got, const HostMatrix& want) {
  const int64_t k = x.view().cols;
  const std::vector<double> w_norms = source.RowNorms();
  std::vector<double> x_norms(x.view().rows);
  for (int64_t row = 0; row < x.view().rows; ++row) {
    for (int64_t i = 0; i < k; ++i) x_norms[row] += double{x.at(row, i)} * x.at(row, i);
  }
  const double walk = 2.0 * std::sqrt(static_cast<double>(k)) * 0x1p-24;
  return Near(got, want, [&](int64_t row, int64_t col) {
    return walk * (std::sqrt(x_norms[row]) * w_norms[col] + 1.0) +
           2 * RoundingError(got.view().dtype, want.at(row, col));
  });
}

}  // namespace quire::testing
