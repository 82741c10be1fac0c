#include "model/rope.h"

#include <cmath>
#include <numbers>
#include <vector>

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

TEST(Rope, NtkDividesTheLowestFrequencyByTheFactorAndKeepsTheHighest) {
  RopeConfig config{.theta = 10000.0, .rotary_dim = 32};
  const std::vector<double> plain = InverseFrequencies(config);
  config.scaling = RopeScaling::kNtk;
  config.factor = 8;
  const std::vector<double> scaled = InverseFrequencies(config);
  EXPECT_EQ(scaled.front(), 1.0);
  EXPECT_NEAR(scaled.back() / (plain.back() / 8), 1.0, 1e-12);
}

TEST(Rope, DynamicNtkIsPlainWithinTheOriginalContextAndGrowsSteadilyPastIt) {
  RopeConfig config{.theta = 10000.0, .rotary_dim = 32};
  const std::vector<double> plain = InverseFrequencies(config);
  config.scaling = RopeScaling::kDynamicNtk;
  config.factor = 2;
  config.original_max_positions = 100;
  EXPECT_EQ(InverseFrequencies(config), plain);
  EXPECT_EQ(InverseFrequencies(config, 100), plain);
  // At twice the context the stretch is 2 * 2 - 1.
  EXPECT_NEAR(InverseFrequencies(config, 200).back() / (plain.back() / 3), 1.0, 1e-12);
  EXPECT_LT(InverseFrequencies(config, 201).back(), InverseFrequencies(config, 200).back());
}

TEST(Rope, LongRopeDividesByTheShortListUpToTheOriginalContextAndByTheLongOnePastIt) {
  RopeConfig config{.theta = 10000.0, .rotary_dim = 4};
  const std::vector<double> plain = InverseFrequencies(config);
  config.scaling = RopeScaling::kLongRope;
  config.original_max_positions = 100;
  config.short_factor = {1, 2};
  config.long_factor = {4, 8};
  EXPECT_EQ(InverseFrequencies(config), (std::vector<double>{plain[0], plain[1] / 2}));
  EXPECT_EQ(InverseFrequencies(config, 100), InverseFrequencies(config));
  EXPECT_EQ(InverseFrequencies(config, 101), (std::vector<double>{plain[0] / 4, plain[1] / 8}));
}

TEST(Rope, OnlyScalingsThatSayMoreThanTheFileStretchTheContext) {
  const auto stretched = [](RopeScaling scaling, double factor) {
    return StretchedPositions({.scaling = scaling, .factor = factor, .original_max_positions = 100},
                              400);
  };
  EXPECT_EQ(stretched(RopeScaling::kNone, 4), 400);
  EXPECT_EQ(stretched(RopeScaling::kLinear, 4), 1600);
  EXPECT_EQ(stretched(RopeScaling::kLinear, 0.5), 400);
  EXPECT_EQ(stretched(RopeScaling::kNtk, 4), 1600);
  EXPECT_EQ(stretched(RopeScaling::kYarn, 2), 400);
  EXPECT_EQ(stretched(RopeScaling::kYarn, 8), 800);
  EXPECT_EQ(stretched(RopeScaling::kLlama3, 8), 400);
}

TEST(Rope, YarnScalesCosAndSinByTheLogarithmOfTheFactor) {
  EXPECT_NEAR(YarnMscale(4), 1.138629436111989, 1e-12);
  EXPECT_NEAR(YarnMscale(40, 0.707) / YarnMscale(40, 1.0), 0.9210423553163399, 1e-12);
  EXPECT_EQ(YarnMscale(1), 1.0);
}

}  // namespace
}  // namespace quire
