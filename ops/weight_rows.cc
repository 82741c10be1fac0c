#include "ops/weight_rows.h"

#include <cmath>

#include "core/elements.h"

namespace quire {

float LoadWeight(const WeightRows& rows, int64_t in_features, int64_t row, int64_t col) {
  const int64_t index = row * rows.RowStride(in_features) + col * rows.col_stride;
  if (rows.mxfp4_scales == nullptr) return LoadElement(rows.weight, rows.weight_dtype, index);
  constexpr float kMagnitudes[] = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  const uint8_t pair = static_cast<const uint8_t*>(rows.weight)[index / 2];
  const int number = index % 2 == 0 ? pair & 15 : pair >> 4;
  const float scale = std::ldexp(1.0F, rows.mxfp4_scales[index / kMxfp4Block] - 127);
  return (number < 8 ? 1.0F : -1.0F) * kMagnitudes[number % 8] * scale;
}

}  // namespace quire
