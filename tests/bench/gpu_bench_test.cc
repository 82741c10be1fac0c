// The GPU benchmark, on the emulated device: every line of its table is there and makes sense. Its
// numbers are nobody's.
#include "bench/gpu/gpu_bench.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/weights.h"
#include "tests/testing/source_path.h"

namespace quire::gpu_bench {
namespace {

using ::testing::HasSubstr;

BenchOptions Tiny(const std::string& model) {
  BenchOptions options;
  options.models = {testing::SourcePath("tests/golden/models/" + model)};
  options.op_sizes = {
      .decode_rows = {1, 3}, .prompt_rows = {5}, .contexts = {9, 20}, .product = 16};
  options.step_sizes = {.batches = {1, 2},
                        .context = 6,
                        .steps = 3,
                        .prompts = {7},
                        .prompt_repeats = 1,
                        .max_batch_tokens = 8};
  options.timer = {.samples = 2, .sample_seconds = 1e-6, .most_calls = 1, .filler_bytes = 4096};
  return options;
}

// How often each op is in the table.
std::map<std::string, int> RunTiny(const std::string& model) {
  std::ostringstream table;
  Report report(table);
  const absl::Status status = RunBench(Tiny(model), report);
  EXPECT_TRUE(status.ok()) << status;
  std::map<std::string, int> ops;
  for (const Line& line : report.lines()) {
    SCOPED_TRACE(line.op + " " + line.shape);
    ++ops[line.op];
    EXPECT_EQ(line.left_out, "");
    EXPECT_EQ(line.model, model);
    EXPECT_GT(line.rows, 0);
    EXPECT_GT(line.timing.least, 0);
    EXPECT_LE(line.timing.least, line.timing.median);
    EXPECT_LE(line.timing.median, line.timing.most);
    EXPECT_GT(line.work.bytes, 0);
    EXPECT_TRUE(std::isfinite(report.Share(line)) && report.Share(line) > 0);
    EXPECT_THAT(table.str(), HasSubstr(line.shape));
  }
  EXPECT_EQ(nlohmann::json::parse(report.Json().dump()).at("lines").size(), report.lines().size());
  return ops;
}

// Each op at 1 and 3 generated rows and 5 of a prompt.
TEST(GpuBench, ADenseModelHasAllItsLines) {
  EXPECT_EQ(RunTiny("qwen3"), (std::map<std::string, int>{{"activation", 3},
                                                          {"add_norm", 3},
                                                          {"attention_out", 3},
                                                          {"decode", 4},
                                                          {"decode step", 2},
                                                          {"down", 3},
                                                          {"gate+up", 3},
                                                          {"lm_head", 2},
                                                          {"norm+rope+write", 3},
                                                          {"prefill", 1},
                                                          {"prompt", 1},
                                                          {"qkv", 3},
                                                          {"sampler", 4}}));
}

TEST(GpuBench, AModelOfExpertsAndLatentsHasAllItsLines) {
  EXPECT_EQ(RunTiny("deepseek_v2_lite"), (std::map<std::string, int>{{"activation", 3},
                                                                     {"add_norm", 3},
                                                                     {"attention_out", 3},
                                                                     {"decode", 4},
                                                                     {"decode step", 2},
                                                                     {"down", 3},
                                                                     {"experts", 3},
                                                                     {"gate+up", 3},
                                                                     {"lm_head", 2},
                                                                     {"norm+rope+write", 3},
                                                                     {"prefill", 1},
                                                                     {"prompt", 1},
                                                                     {"q+latent", 3},
                                                                     {"route", 3},
                                                                     {"sampler", 4}}));
}

TEST(GpuBench, WhatHasNoRoomOrNoTimeIsSaidToBeLeftOut) {
  BenchOptions options = Tiny("qwen3");
  options.ops = false;
  options.step_sizes.batches = {8};
  options.step_sizes.prompts = {};
  options.step_sizes.context = 30;
  std::ostringstream table;
  Report report(table);
  ASSERT_TRUE(RunBench(options, report).ok());
  ASSERT_EQ(report.lines().size(), 1U);
  EXPECT_NE(report.lines()[0].left_out, "");
  EXPECT_THAT(table.str(), HasSubstr("left out: "));
  options.time_limit = -absl::Seconds(1);
  std::ostringstream late_table;
  Report late(late_table);
  ASSERT_TRUE(RunBench(options, late).ok());
  ASSERT_EQ(late.lines().size(), 1U);
  EXPECT_EQ(late.lines()[0].left_out, "no time is left");
}

TEST(GpuBench, AShareIsOfWhateverBoundsTheWork) {
  std::ostringstream table;
  Report report(table);
  report.Begin("none", {.copy_bytes_per_second = 100, .product_flops_per_second = 1000});
  report.BeginModel("m", "ops");
  const Timing timing{2, 1, 3};
  EXPECT_DOUBLE_EQ(report.Share({.timing = timing, .work = {150, 10}}), 0.75);
  EXPECT_DOUBLE_EQ(report.Share({.timing = timing, .work = {10, 500}}), 0.25);
  EXPECT_TRUE(report.ceilings().IsBoundByBytes({150, 10}));
  EXPECT_FALSE(report.ceilings().IsBoundByBytes({10, 500}));
}

// By hand, of Llama-3.1-8B: 8.03 G numbers less the table's 0.525 G; 131,072 bytes a token.
TEST(GpuBench, ADecodeStepReadsAllWeightsOnceAndTheSequences) {
  const ModelConfig config =
      ReadModelConfig(testing::SourcePath("bench/configs/llama-3.1-8b")).value();
  const Work one = DecodeWork(config, 1, 0, 131072);
  EXPECT_NEAR(one.bytes, 2 * (8.030e9 - 0.5253e9), 0.002e9);
  EXPECT_NEAR(one.flops, one.bytes, 1e6);
  const Work many = DecodeWork(config, 32, 1000, 131072);
  EXPECT_NEAR(many.bytes - one.bytes, 32 * 1000 * 131072.0, 1);
  // 32 layers of 32 heads, each with products of 128 dims for keys and for values.
  EXPECT_NEAR(many.flops - 32 * one.flops, 32 * 1000 * 2.0 * 32 * 32 * 256, 1e6);
}

// Of 128 experts 8 are chosen: one token reads a sixteenth, many all.
TEST(GpuBench, ADecodeStepReadsTheExpertsThatItsTokensReach) {
  const ModelConfig config =
      ReadModelConfig(testing::SourcePath("bench/configs/qwen3-30b-a3b")).value();
  const double experts = 2.0 * 48 * 128 * 3 * 768 * 2048;
  const double all = 2.0 * (static_cast<double>(CountParameters(config)) - 151936.0 * 2048);
  EXPECT_NEAR(DecodeWork(config, 1, 0, 0).bytes, all - experts * 15 / 16, 1e6);
  EXPECT_NEAR(DecodeWork(config, 1000, 0, 0).bytes, all, 1e6);
}

}  // namespace
}  // namespace quire::gpu_bench
