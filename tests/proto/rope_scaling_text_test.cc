#include "proto/rope_scaling_text.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(RopeScalingText, EveryFormIsRead) {
  const auto model = ParseRopeScaling("model");
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->kind(), v1::ROPE_SCALING_KIND_MODEL);
  EXPECT_FALSE(model->has_factor());
  const auto linear = ParseRopeScaling("linear:2.5");
  ASSERT_TRUE(linear.ok()) << linear.status();
  EXPECT_EQ(linear->kind(), v1::ROPE_SCALING_KIND_LINEAR);
  EXPECT_EQ(linear->factor(), 2.5);
  EXPECT_FALSE(linear->has_original_context());
  const auto yarn = ParseRopeScaling("yarn:4:32768");
  ASSERT_TRUE(yarn.ok()) << yarn.status();
  EXPECT_EQ(yarn->kind(), v1::ROPE_SCALING_KIND_YARN);
  EXPECT_EQ(yarn->factor(), 4);
  EXPECT_EQ(yarn->original_context(), 32768U);
  EXPECT_EQ(ParseRopeScaling("ntk:4")->kind(), v1::ROPE_SCALING_KIND_NTK);
  EXPECT_EQ(ParseRopeScaling("dynamic:4")->kind(), v1::ROPE_SCALING_KIND_DYNAMIC);
  EXPECT_EQ(ParseRopeScaling("none")->kind(), v1::ROPE_SCALING_KIND_NONE);
}

TEST(RopeScalingText, WhatIsWrongIsSaidWithTheForms) {
  const auto refusal = [](const char* text) {
    const auto parsed = ParseRopeScaling(text);
    EXPECT_FALSE(parsed.ok()) << text;
    return std::string(parsed.status().message());
  };
  EXPECT_THAT(refusal(""), AllOf(HasSubstr("there is no kind \"\""), HasSubstr("as linear:4")));
  EXPECT_THAT(refusal("Linear:4"), HasSubstr("\"Linear:4\" is no rotary scaling"));
  EXPECT_THAT(refusal("linear:"), HasSubstr("\"\" is no number"));
  EXPECT_THAT(refusal("linear:4x"), HasSubstr("\"4x\" is no number"));
  EXPECT_THAT(refusal("yarn:4:-1"), HasSubstr("\"-1\" is no number of tokens"));
  EXPECT_THAT(refusal("yarn:4:2:1"), HasSubstr("more than three parts"));
}

}  // namespace
}  // namespace quire
