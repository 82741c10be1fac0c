#include "model/rope_config.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

absl::StatusOr<RopeConfig> Read(const Json& config, const RopeDefaults& defaults,
                                absl::string_view kind = "full_attention") {
  const auto document = JsonDocument::FromText(config.dump(), "config.json");
  EXPECT_TRUE(document.ok()) << document.status();
  return ReadRope((*document)->root(), defaults, kind);
}

constexpr RopeDefaults kDefaults{.head_dim = 8, .max_positions = 512};

std::string Refusal(const Json& config, absl::string_view kind = "full_attention") {
  const auto read = Read(config, kDefaults, kind);
  EXPECT_FALSE(read.ok()) << config;
  return std::string(read.status().message());
}

std::string ScalingRefusal(const Json& scaling) { return Refusal({{"rope_scaling", scaling}}); }

// Both round: the angle by its own size, what transformers computes in fp32 once more.
double Tolerance(int64_t position) { return std::ldexp(static_cast<double>(position), -23) + 1e-6; }

// Cases are families' files; tools/make_rope_golden.py made them.
TEST(RopeGolden, FrequenciesAndTablesAreThoseOfTransformers) {
  const Json golden = Json::parse(std::ifstream(QUIRE_SOURCE_DIR "/tests/golden/rope.json"));
  ASSERT_GE(golden.at("cases").size(), 30U);
  for (const Json& entry : golden.at("cases")) {
    SCOPED_TRACE(testing::Message()
                 << entry.at("name") << " " << entry.at("layer_kind") << " " << entry.at("length"));
    const Json& given = entry.at("defaults");
    const auto theta_key = given.value("theta_key", std::string("rope_theta"));
    const auto part_key = given.value("part_key", std::string("partial_rotary_factor"));
    const RopeDefaults defaults{.head_dim = given.at("head_dim"),
                                .max_positions = entry.at("config").at("max_position_embeddings"),
                                .theta = given.value("theta", 10000.0),
                                .rotated_part = given.value("rotated_part", 1.0),
                                .theta_key = theta_key.c_str(),
                                .part_key = part_key.c_str(),
                                .takes_common_scaling = given.value("takes_common_scaling", true)};
    const auto rope = Read(entry.at("config"), defaults, entry.at("layer_kind").get<std::string>());
    ASSERT_TRUE(rope.ok()) << rope.status();
    const std::vector<double> got = InverseFrequencies(*rope, entry.at("length"));
    const std::vector<double> want = entry.at("inverse_frequencies");
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i], want[i], std::ldexp(1.0, -23)) << i;
      EXPECT_NEAR(got[i], want[i], 4e-6 * want[i]) << i;
    }
    EXPECT_NEAR(rope->attention_factor, entry.at("attention_factor"), 1e-12);
    EXPECT_NEAR(SoftmaxScaleFactor(*rope), entry.at("softmax_scale_factor"), 1e-12);
    for (const Json& row : entry.at("rows")) {
      const int64_t position = row.at("position");
      std::vector<float> cos(got.size());
      std::vector<float> sin(got.size());
      FillRopeRow(got, rope->attention_factor, position, cos.data(), sin.data());
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_NEAR(cos[i], row.at("cos")[i], Tolerance(position)) << position << " " << i;
        EXPECT_NEAR(sin[i], row.at("sin")[i], Tolerance(position)) << position << " " << i;
      }
    }
  }
}

TEST(RopeConfig, EarlyNamesOfLongRopeAreKnown) {
  for (const char* name : {"su", "yarn", "longrope"}) {
    const auto rope =
        Read({{"original_max_position_embeddings", 128},
              {"rope_scaling",
               {{"type", name}, {"short_factor", {1, 1, 1, 1.5}}, {"long_factor", {1, 2, 3, 4}}}}},
             kDefaults);
    ASSERT_TRUE(rope.ok()) << rope.status();
    EXPECT_EQ(rope->scaling, RopeScaling::kLongRope);
    EXPECT_THAT(rope->long_factor, ElementsAre(1, 2, 3, 4));
    EXPECT_EQ(rope->original_max_positions, 128);
    EXPECT_DOUBLE_EQ(rope->attention_factor, std::sqrt(1 + std::log(4.0) / std::log(128.0)));
  }
}

TEST(RopeConfig, TheOriginalContextIsTheTopLevelsThenTheObjectsThenTheModels) {
  const Json inside = {{"type", "yarn"}, {"factor", 2}, {"original_max_position_embeddings", 64}};
  const Json silent = {{"type", "yarn"}, {"factor", 2}};
  const auto original = [](const Json& config) {
    const auto rope = Read(config, kDefaults);
    return rope.ok() ? rope->original_max_positions : -1;
  };
  EXPECT_EQ(original({{"rope_scaling", inside}, {"original_max_position_embeddings", 32}}), 32);
  EXPECT_EQ(original({{"rope_scaling", inside}}), 64);
  EXPECT_EQ(original({{"rope_scaling", silent}}), 512);
  EXPECT_EQ(original({{"rope_parameters", {{"full_attention", inside}}},
                      {"original_max_position_embeddings", 32}}),
            64);
}

TEST(RopeConfig, AKindThatIsNullDoesNotRotateAndOneThatIsAbsentIsPlain) {
  const Json config = {{"rope_theta", 300.0},
                       {"rope_parameters",
                        {{"full_attention", nullptr},
                         {"sliding_attention", {{"rope_type", "linear"}, {"factor", 2}}}}}};
  EXPECT_EQ(Read(config, kDefaults)->rotary_dim, 0);
  const auto sliding = Read(config, kDefaults, "sliding_attention");
  EXPECT_EQ(sliding->rotary_dim, 8);
  EXPECT_EQ(sliding->scaling, RopeScaling::kLinear);
  EXPECT_EQ(sliding->theta, 300.0);
  const auto other = Read(config, kDefaults, "chunked_attention");
  EXPECT_EQ(other->rotary_dim, 8);
  EXPECT_EQ(other->scaling, RopeScaling::kNone);
}

TEST(RopeConfig, EmptyScalingIsNone) {
  for (const Json& empty : {Json(nullptr), Json::object()}) {
    const auto rope = Read({{"rope_scaling", empty}}, kDefaults);
    ASSERT_TRUE(rope.ok()) << rope.status();
    EXPECT_EQ(rope->scaling, RopeScaling::kNone);
  }
}

TEST(RopeConfig, EveryNumberOfRotatedDimsComesBackFromRotaryDim) {
  for (int width = 2; width <= 256; width += 2) {
    for (int dims = 2; dims <= width; dims += 2) {
      const auto rope = Read({{"rotary_dim", dims}}, {.head_dim = width, .max_positions = 512});
      ASSERT_EQ(rope->rotary_dim, dims) << width;
    }
  }
}

TEST(RopeConfig, EveryWrongFieldIsNamedWithWhatWasExpected) {
  EXPECT_THAT(Refusal({{"rope_theta", 0}}),
              HasSubstr("config.json: rope_theta: found 0, expected a number above 0"));
  EXPECT_THAT(
      Refusal({{"partial_rotary_factor", 0.2}}),
      HasSubstr("partial_rotary_factor 0.2 of head_dim 8 rotates 1 dims, expected an even"));
  EXPECT_THAT(Refusal({{"rotary_dim", 10}}),
              HasSubstr("rotary_dim: found 10, expected an integer from 1 to 8"));
  EXPECT_THAT(Refusal({{"rope_scaling", "linear"}}), HasSubstr("rope_scaling: found \"linear\""));
  EXPECT_THAT(Refusal({{"rope_parameters", {{"full_attention", 3}}}}),
              HasSubstr("rope_parameters.full_attention: found 3"));
  EXPECT_THAT(Refusal({{"rope_parameters",
                        {{"sliding_attention", {{"rope_type", "yarn"}, {"factor", -1}}}}}},
                      "sliding_attention"),
              HasSubstr("rope_parameters.sliding_attention.factor: found -1, expected a number"));
  EXPECT_THAT(ScalingRefusal({{"rope_type", "axial"}}),
              HasSubstr("rope_scaling: rope_type \"axial\" is not one of those that run: default, "
                        "linear, dynamic, ntk, llama3, yarn, longrope, proportional"));
  EXPECT_THAT(ScalingRefusal({{"type", "linear"}}),
              HasSubstr("rope_scaling: \"factor\" is missing"));
  EXPECT_THAT(ScalingRefusal({{"type", "yarn"}, {"factor", 4}, {"beta_fast", 0.5}}),
              HasSubstr("beta_fast (0.5) must not be below beta_slow (1)"));
  EXPECT_THAT(ScalingRefusal({{"type", "yarn"}, {"factor", 4}, {"mscale", -1}}),
              HasSubstr("mscale is -1, expected a number from 0"));
  EXPECT_THAT(
      ScalingRefusal(
          {{"type", "llama3"}, {"factor", 4}, {"low_freq_factor", 2}, {"high_freq_factor", 2}}),
      HasSubstr("high_freq_factor (2) must be above low_freq_factor (2)"));
  EXPECT_THAT(ScalingRefusal({{"type", "longrope"}, {"short_factor", {1, 1}}}),
              HasSubstr("short_factor: has 2 entries, expected one for each of 4 rotated pairs"));
  EXPECT_THAT(
      ScalingRefusal(
          {{"type", "longrope"}, {"short_factor", {1, 1, 1, 1}}, {"long_factor", {1, 1, 0, 1}}}),
      HasSubstr("long_factor[2]: found 0, expected a number above 0"));
  EXPECT_THAT(
      ScalingRefusal({{"type", "yarn"}, {"factor", 2}, {"original_max_position_embeddings", 1}}),
      HasSubstr("original_max_position_embeddings: found 1, expected an integer from 2"));
  EXPECT_THAT(Refusal({{"rotary_dim", 2}, {"rope_scaling", {{"type", "ntk"}, {"factor", 2}}}}),
              HasSubstr("NTK scaling needs 4 rotated dims at least, found 2"));
}

}  // namespace
}  // namespace quire
