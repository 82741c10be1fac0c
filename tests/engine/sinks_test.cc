// Attention sinks and windows in place of full attention, and learned sink tokens: against the
// oracle of tools/make_sinks_golden.py, and in bounded memory without end.
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/steady_time.h"
#include "engine/load_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/golden_prompt.h"
#include "tests/testing/engine_client.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

LoadOptions Options(const std::string& model, const AttentionSinkOptions& sinks) {
  LoadOptions options{.model = QUIRE_SOURCE_DIR "/tests/golden/models/" + model,
                      .dtype = DType::kFloat32};
  options.kv_cache_bytes = size_t{1} << 20;
  options.max_num_sequences = 4;
  options.block_tokens = 16;
  options.sinks = sinks;
  return options;
}

class SinkGolden : public ::testing::TestWithParam<int64_t> {};

TEST_P(SinkGolden, MeetsStreamingLlmInFloat32) {
  const auto golden =
      nlohmann::json::parse(std::ifstream(QUIRE_SOURCE_DIR "/tests/golden/sinks.json"));
  for (const auto& wanted : golden.at("cases")) {
    SCOPED_TRACE(wanted.at("name").get<std::string>());
    LoadOptions options =
        Options(wanted.at("model"), {.sinks = wanted.at("sinks"), .window = wanted.at("window")});
    options.max_batch_tokens = GetParam();
    const auto loaded = LoadedModel::Load(options, nullptr);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_TRUE((*loaded)->unused_tensors().empty());
    for (const auto& prompt : wanted.at("prompts")) {
      testing::ExpectMeetsGolden((*loaded)->engine(), prompt);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(StepsOf, SinkGolden, ::testing::Values(512, 7),
                         [](const auto& info) { return std::to_string(info.param); });

// Ten times the model's context from a pool that could not hold it once, positions past the tables
// that are computed at start included.
TEST(AttentionSinks, TextGoesOnWithoutEndInBoundedMemory) {
  LoadOptions options = Options("llama3", {.sinks = 5, .window = 40});
  options.max_num_sequences = 1;
  options.max_batch_tokens = 16;
  options.kv_cache_bytes = size_t{100} << 10;
  const auto loaded = LoadedModel::Load(options, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  Engine& engine = (*loaded)->engine();
  EXPECT_EQ(engine.capacity_tokens(), int64_t{1} << 30);
  const int32_t blocks = engine.stats().kv[0].num_blocks;
  EXPECT_LT(blocks * 16, 160);
  Request request;
  request.prompt = {7, 8, 9};
  request.sampling.seed = 3;
  request.stopping.max_new_tokens = 2560;
  const testing::Outcome outcome = testing::Run(engine, request);
  EXPECT_EQ(outcome.sequences[0].tokens.size(), 2560U);
  EXPECT_EQ(outcome.sequences[0].finish->reason, FinishReason::kMaxTokens);
  EXPECT_EQ(outcome.sequences[0].finish->usage.preemptions, 0);
  ASSERT_TRUE(engine.AwaitIdle(SteadyNow() + absl::Seconds(20)));
  EXPECT_EQ(engine.stats().kv[0].referenced, 0);
}

// A long prompt that another text begins with: its sinks and its last window are found again.
TEST(AttentionSinks, APrefixIsFoundByItsSinksAndItsLastWindow) {
  const auto loaded = LoadedModel::Load(Options("llama3", {.sinks = 20, .window = 24}), nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  Request request;
  for (int i = 0; i < 300; ++i) request.prompt.push_back(3 + i * i % 300);
  request.sampling.temperature = 0;
  request.stopping.max_new_tokens = 8;
  const testing::Outcome first = testing::Run((*loaded)->engine(), request);
  const testing::Outcome second = testing::Run((*loaded)->engine(), request);
  EXPECT_EQ(second.sequences[0].finish->usage.cached_tokens, 288);
  EXPECT_EQ(second.sequences[0].tokens, first.sequences[0].tokens);
}

TEST(AttentionSinks, WhatAModelCannotTakeIsRefusedWithTheReason) {
  const auto refusal = [](const std::string& model, const AttentionSinkOptions& sinks) {
    return std::string(LoadedModel::Load(Options(model, sinks), nullptr).status().message());
  };
  EXPECT_THAT(refusal("llama3", {.sinks = 4}),
              HasSubstr("--attention-sinks 4 needs --attention-window"));
  EXPECT_THAT(refusal("llama3", {.sinks = 4, .window = 253}),
              HasSubstr("257 tokens would be in sight; the model has 256 positions"));
  EXPECT_THAT(refusal("deepseek_v3", {.sinks = 4, .window = 20}), HasSubstr("latent attention"));
  EXPECT_THAT(refusal("gpt2", {.sinks = 4, .window = 20}), HasSubstr("learned"));
  EXPECT_THAT(refusal("bert", {.sinks = 4, .window = 20}), HasSubstr("encoder"));
  EXPECT_THAT(refusal("llama_sinks", {.sinks = 4, .window = 20}),
              HasSubstr("sink tokens of its own"));
}

TEST(AttentionSinks, ALongerContextThanPositionsAreWideIsRefused) {
  LoadOptions options = Options("llama3", {.sinks = 4, .window = 20});
  options.max_context = 1000;  // of a model of 256 positions
  const auto loaded = LoadedModel::Load(options, nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->engine().capacity_tokens(), 1000);
  options.max_context = (int64_t{1} << 30) + 1;
  EXPECT_THAT(std::string(LoadedModel::Load(options, nullptr).status().message()),
              HasSubstr("the limit is 1073741824, of text without end"));
}

TEST(SinkTokens, TheContextIsWhatTheyLeaveAndTheirPagesAreNobodyElses) {
  const auto loaded = LoadedModel::Load(Options("llama_sinks", {}), nullptr);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ((*loaded)->engine().capacity_tokens(), 61);
  EXPECT_THAT(
      std::string(
          (*loaded)->SetRopeScaling({.kind = RopeChoice::Kind::kLinear, .factor = 2}).message()),
      HasSubstr("--rope-scaling"));
  LoadOptions dynamic = Options("llama_sinks", {});
  dynamic.rope_scaling = {.kind = RopeChoice::Kind::kDynamicNtk, .factor = 2};
  EXPECT_THAT(std::string(LoadedModel::Load(dynamic, nullptr).status().message()),
              HasSubstr("learned sink tokens"));
}

}  // namespace
}  // namespace quire
