#include "model/rope_scaling.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::testing::HasSubstr;
using Kind = RopeChoice::Kind;

constexpr int64_t kMaxPositions = 1000;

ModelRopes Ropes(const std::vector<RopeConfig>& own) {
  return {.own = own, .max_positions = kMaxPositions};
}

TEST(RopeScaling, ReplacesTheModelsScalingAndKeepsWhatRotates) {
  const RopeConfig own{.theta = 5000,
                       .rotary_dim = 16,
                       .interleaved = true,
                       .scaling = RopeScaling::kLlama3,
                       .factor = 8,
                       .original_max_positions = 100};
  EXPECT_EQ(ScaledRope(own, kMaxPositions, {}), own);
  const RopeConfig linear = ScaledRope(own, kMaxPositions, {.kind = Kind::kLinear, .factor = 2});
  EXPECT_EQ(linear.theta, 5000);
  EXPECT_EQ(linear.rotary_dim, 16);
  EXPECT_TRUE(linear.interleaved);
  EXPECT_EQ(linear.scaling, RopeScaling::kLinear);
  EXPECT_EQ(linear.factor, 2);
  const RopeConfig none = ScaledRope(own, kMaxPositions, {.kind = Kind::kNone});
  EXPECT_EQ(InverseFrequencies(none), InverseFrequencies({.theta = 5000, .rotary_dim = 16}));
}

TEST(RopeScaling, TheOriginalContextIsTheAskedOneThenTheModelsOwn) {
  const RopeConfig plain{.rotary_dim = 16};
  const RopeConfig yarn{
      .rotary_dim = 16, .scaling = RopeScaling::kYarn, .factor = 4, .original_max_positions = 100};
  const auto original = [](const RopeConfig& own, int64_t asked) {
    return ScaledRope(own, kMaxPositions,
                      {.kind = Kind::kYarn, .factor = 2, .original_positions = asked})
        .original_max_positions;
  };
  EXPECT_EQ(original(plain, 0), kMaxPositions);
  EXPECT_EQ(original(yarn, 0), 100);
  EXPECT_EQ(original(yarn, 50), 50);
}

TEST(RopeScaling, AnotherFactorKeepsTheModelsYarn) {
  const RopeConfig own{.rotary_dim = 64,
                       .scaling = RopeScaling::kYarn,
                       .factor = 4,
                       .original_max_positions = 100,
                       .beta_fast = 16,
                       .truncate = false,
                       .attention_factor = YarnMscale(4)};
  EXPECT_EQ(ScaledRope(own, kMaxPositions, {.kind = Kind::kYarn, .factor = 4}), own);
  const RopeConfig eight = ScaledRope(own, kMaxPositions, {.kind = Kind::kYarn, .factor = 8});
  EXPECT_EQ(eight.beta_fast, 16);
  EXPECT_FALSE(eight.truncate);
  EXPECT_EQ(eight.attention_factor, YarnMscale(8));
}

TEST(RopeScaling, LayersWithShortWindowsKeepTheirOwn) {
  const std::vector<RopeConfig> own = {{.theta = 1e6, .rotary_dim = 16},
                                       {.rotary_dim = 16, .takes_scaling = false}};
  const RopeChoice choice{.kind = Kind::kLinear, .factor = 4};
  ASSERT_TRUE(CheckRopeChoice(Ropes(own), choice).ok());
  EXPECT_EQ(ScaledRope(own[0], kMaxPositions, choice).scaling, RopeScaling::kLinear);
  EXPECT_EQ(ScaledRope(own[1], kMaxPositions, choice), own[1]);
  EXPECT_EQ(StretchedPositions(Ropes(own), choice), 4 * kMaxPositions);
}

TEST(RopeScaling, RequestsFollowTheLengthWhereTheirFrequenciesDo) {
  const std::vector<RopeConfig> plain = {{.rotary_dim = 16}};
  EXPECT_EQ(RopeOfRequests(Ropes(plain), {})->rule, RequestRope::LengthRule::kNone);
  const auto dynamic = RopeOfRequests(
      Ropes(plain), {.kind = Kind::kDynamicNtk, .factor = 2, .original_positions = 300});
  EXPECT_EQ(dynamic->rule, RequestRope::LengthRule::kPrompt);
  EXPECT_EQ(dynamic->original_positions, 300);
  std::vector<RopeConfig> longrope = {{.rotary_dim = 16,
                                       .scaling = RopeScaling::kLongRope,
                                       .original_max_positions = 100,
                                       .short_factor = std::vector<double>(8, 1),
                                       .long_factor = std::vector<double>(8, 2)}};
  EXPECT_EQ(RopeOfRequests(Ropes(longrope), {})->rule, RequestRope::LengthRule::kSwitch);
  EXPECT_EQ(RopeOfRequests(Ropes(longrope), {})->original_positions, 100);
  EXPECT_EQ(RopeOfRequests(Ropes(longrope), {.kind = Kind::kNone})->rule,
            RequestRope::LengthRule::kNone);
  longrope.push_back(longrope[0]);
  EXPECT_TRUE(RopeOfRequests(Ropes(longrope), {}).ok());
  longrope[1].original_max_positions = 200;
  EXPECT_THAT(std::string(RopeOfRequests(Ropes(longrope), {}).status().message()),
              HasSubstr("(original contexts 100 and 200), which does not run"));
}

TEST(RopeScaling, WhatAModelCannotTakeIsRefused) {
  const auto refusal = [](const RopeConfig& own, const RopeChoice& choice) {
    const std::vector<RopeConfig> ropes = {own};
    const absl::Status status = CheckRopeChoice(Ropes(ropes), choice);
    EXPECT_FALSE(status.ok());
    return std::string(status.message());
  };
  const RopeConfig plain{.rotary_dim = 16};
  for (const double factor : {0.5, 0.0, -1.0, 1e5, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THAT(refusal(plain, {.kind = Kind::kLinear, .factor = factor}),
                HasSubstr("expected a number from 1 to 10000"));
  }
  EXPECT_THAT(refusal(plain, {.kind = Kind::kYarn, .factor = 2, .original_positions = 1}),
              HasSubstr("the original context of a rotary scaling is 1, expected an integer"));
  EXPECT_THAT(refusal(plain, {.kind = Kind::kLinear, .factor = 2, .original_positions = 64}),
              HasSubstr("linear:2:64: only yarn and dynamic have an original context"));
  EXPECT_THAT(refusal({}, {.kind = Kind::kLinear, .factor = 2}),
              HasSubstr("linear:2: the model has no rotary embeddings to scale"));
  EXPECT_THAT(refusal({.rotary_dim = 2}, {.kind = Kind::kNtk, .factor = 2}),
              HasSubstr("needs 4 rotated dims at least, the model has 2"));
  EXPECT_THAT(refusal({.theta = 0.5, .rotary_dim = 16}, {.kind = Kind::kYarn, .factor = 2}),
              HasSubstr("needs a rope_theta above 1, the model's is 0.5"));
  EXPECT_THAT(refusal({.rotary_dim = 16, .scaling = RopeScaling::kProportional},
                      {.kind = Kind::kLinear, .factor = 2}),
              HasSubstr("proportional rotation takes no other scaling"));
  EXPECT_THAT(refusal({.rotary_dim = 16,
                       .scaling = RopeScaling::kYarn,
                       .factor = 4,
                       .mscale = 1,
                       .mscale_all_dim = 1},
                      {.kind = Kind::kYarn, .factor = 8}),
              HasSubstr("softmax scale belongs to its own scaling"));
}

}  // namespace
}  // namespace quire
