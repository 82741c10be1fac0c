#include "core/dtype.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace quire {
namespace {

TEST(DType, Bf16RoundsToNearestTiesToEven) {
  EXPECT_EQ(ToBf16(1.0F).bits, 0x3f80);
  EXPECT_EQ(ToBf16(1.0F + 0x1p-8F).bits, 0x3f80);             // a tie: down to even
  EXPECT_EQ(ToBf16(1.0F + 0x1p-8F + 0x1p-20F).bits, 0x3f81);  // just above it
  EXPECT_EQ(ToBf16(1.0F + 3 * 0x1p-8F).bits, 0x3f82);         // a tie: up to even
}

TEST(DType, Bf16KeepsInfinityAndNan) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(ToFloat(ToBf16(inf)), inf);
  EXPECT_EQ(ToFloat(ToBf16(-inf)), -inf);
  EXPECT_TRUE(std::isnan(ToFloat(ToBf16(std::bit_cast<float>(0x7f800001U)))));
}

TEST(DType, EveryHalfIsExactInFloat) {
  EXPECT_EQ(HalfToFloat(0x3c00), 1.0F);
  EXPECT_EQ(HalfToFloat(0xc000), -2.0F);
  EXPECT_EQ(HalfToFloat(0x7bff), 65504.0F);
  EXPECT_EQ(HalfToFloat(0x0001), 0x1p-24F);
  EXPECT_EQ(HalfToFloat(0x03ff), 1023 * 0x1p-24F);
  EXPECT_EQ(HalfToFloat(0x7c00), std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(HalfToFloat(0x7e00)));
}

TEST(DType, UnknownNamesAreRefused) {
  EXPECT_EQ(ParseDType("bfloat16").value(), DType::kBFloat16);
  EXPECT_FALSE(ParseDType("int8").ok());
}

}  // namespace
}  // namespace quire
