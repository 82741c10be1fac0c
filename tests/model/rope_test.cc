#include "model/rope.h"

#include <cmath>
#include <numbers>

#include "gtest/gtest.h"

namespace quire {
namespace {

TEST(Rope, FrequenciesFallGeometricallyFromOne) {
  const std::vector<double> plain = InverseFrequencies({.theta = 10000.0, .rotary_dim = 8});
  ASSERT_EQ(plain.size(), 4U);
  for (size_t i = 0; i < plain.size(); ++i) {
    EXPECT_DOUBLE_EQ(plain[i], std::pow(10.0, -static_cast<double>(i)));
  }
}

TEST(Rope, LinearScalingDividesEveryFrequency) {
  RopeConfig config{.theta = 10000.0, .rotary_dim = 8};
  const std::vector<double> plain = InverseFrequencies(config);
  config.scaling = RopeScaling::kLinear;
  config.factor = 4;
  const std::vector<double> scaled = InverseFrequencies(config);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 4);
}

TEST(Rope, Llama3KeepsHighFrequenciesDividesLowOnesAndBlendsBetween) {
  RopeConfig config{.theta = 500000.0, .rotary_dim = 128};
  const std::vector<double> plain = InverseFrequencies(config);
  config.scaling = RopeScaling::kLlama3;
  config.factor = 8;
  config.original_max_positions = 8192;
  const std::vector<double> scaled = InverseFrequencies(config);
  for (size_t i = 0; i < plain.size(); ++i) {
    const double turns = 8192 * plain[i] / (2 * std::numbers::pi);  // over the original context
    if (turns > 4) {
      EXPECT_DOUBLE_EQ(scaled[i], plain[i]) << i;
    } else if (turns < 1) {
      EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 8) << i;
    } else {
      EXPECT_GT(scaled[i], plain[i] / 8) << i;
      EXPECT_LT(scaled[i], plain[i]) << i;
    }
    if (i > 0) {
      EXPECT_LT(scaled[i], scaled[i - 1]);
    }
  }
}

}  // namespace
}  // namespace quire
