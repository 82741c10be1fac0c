// Rotations that follow the sequence or are set at run time: through the real engine and kernels,
// on the tiny checkpoints of tests/golden/models (architectures_test compares them with
// transformers).
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "engine/load_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_client.h"

namespace quire {
namespace {

using ::testing::HasSubstr;
using Kind = RopeChoice::Kind;

constexpr RopeChoice kChoices[] = {
    {.kind = Kind::kNone},
    {.kind = Kind::kLinear, .factor = 4},
    {.kind = Kind::kNtk, .factor = 4},
    {.kind = Kind::kDynamicNtk, .factor = 4, .original_positions = 24},
    {.kind = Kind::kYarn, .factor = 4, .original_positions = 32},
};
constexpr int64_t kLongRopeContext = 40;  // of llama_longrope

struct EngineSetup {
  std::string model = "llama_longrope";
  RopeChoice choice;
  size_t kv_cache_bytes = size_t{1} << 20;
  int64_t max_batch_tokens = 64;
  int64_t max_context = 0;
};

std::unique_ptr<LoadedModel> Load(const EngineSetup& setup) {
  LoadOptions options;
  options.model = QUIRE_SOURCE_DIR "/tests/golden/models/" + setup.model;
  options.dtype = DType::kFloat32;
  options.backend.threads = 2;
  options.rope_scaling = setup.choice;
  options.kv_cache_bytes = setup.kv_cache_bytes;
  options.max_batch_tokens = setup.max_batch_tokens;
  options.max_context = setup.max_context;
  options.max_num_sequences = 16;
  options.block_tokens = 16;
  auto loaded = LoadedModel::Load(options, nullptr);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return *std::move(loaded);
}

Request Prompt(int64_t length, int64_t max_new, TokenId salt = 0) {
  Request request;
  for (int64_t i = 0; i < length; ++i) {
    request.prompt.push_back(static_cast<TokenId>(3 + (i * i * 7 + i * 31 + salt * 11) % 300));
  }
  request.sampling.temperature = 0;
  request.stopping.max_new_tokens = max_new;
  request.top_logprobs = 0;
  return request;
}

// Tokens [first, ...) of `got` and their log-probabilities are `want`'s, bit for bit.
void ExpectSame(const testing::Outcome::OneSequence& got, const testing::Outcome::OneSequence& want,
                size_t first = 0) {
  ASSERT_EQ(got.tokens.size(), want.tokens.size() + first);
  for (size_t i = 0; i < want.tokens.size(); ++i) {
    ASSERT_EQ(got.tokens[first + i], want.tokens[i]) << i;
    const float a = got.logprobs[first + i].chosen.logprob;
    const float b = want.logprobs[i].chosen.logprob;
    ASSERT_EQ(std::memcmp(&a, &b, sizeof(float)), 0) << a << " and " << b << " at " << i;
  }
}

// Requests that stay within the original context, cross it and begin past it.
std::vector<Request> MixedRequests() {
  std::vector<Request> requests;
  for (int i = 0; i < 12; ++i) {
    requests.push_back(Prompt(5 + (i * 13) % 70, 20 + (i % 3) * 15, i));
    if (i % 4 == 1) requests.back().num_sequences = 3;
    requests.back().sampling.temperature = i % 2 == 0 ? 0.0F : 0.9F;
    requests.back().sampling.seed = i;
  }
  return requests;
}

std::vector<testing::Outcome> Solo(const EngineSetup& setup, const std::vector<Request>& requests) {
  const auto loaded = Load(setup);
  std::vector<testing::Outcome> outcomes;
  for (Request request : requests) {
    request.bypass_prefix_cache = true;
    outcomes.push_back(testing::Run(loaded->engine(), request));
  }
  return outcomes;
}

SchedulerStats StatsWhenIdle(LoadedModel& loaded) {
  loaded.engine().AwaitIdle(absl::InfiniteFuture());
  return loaded.engine().stats().scheduler;
}

int64_t Cached(const testing::Outcome& outcome) {
  return outcome.sequences[0].finish->usage.cached_tokens;
}

TEST(LongRope, AfterTheSwitchASequenceIsWhatAFreshLongPromptGives) {
  for (int64_t max_batch_tokens : {64, 16}) {
    const auto loaded = Load({.max_batch_tokens = max_batch_tokens});
    const Request request = Prompt(30, 40);
    const testing::Outcome crossed = testing::Run(loaded->engine(), request);
    EXPECT_EQ(StatsWhenIdle(*loaded).total_rope_switches, 1);

    // Its tokens up to the one that made it longer than the original context.
    const size_t drawn_before = kLongRopeContext + 1 - request.prompt.size();
    Request fresh = request;
    const std::vector<TokenId>& tokens = crossed.sequences[0].tokens;
    fresh.prompt.insert(fresh.prompt.end(), tokens.begin(),
                        tokens.begin() + static_cast<int64_t>(drawn_before));
    fresh.stopping.max_new_tokens = 40 - static_cast<int64_t>(drawn_before);
    for (const bool bypass : {false, true}) {
      fresh.bypass_prefix_cache = bypass;
      const testing::Outcome outcome = testing::Run(loaded->engine(), fresh);
      ExpectSame(crossed.sequences[0], outcome.sequences[0], drawn_before);
      // The refilled pages are as good as a prompt's; those before the switch are not.
      EXPECT_EQ(Cached(outcome), bypass ? 0 : kLongRopeContext / 16 * 16);
    }
  }
}

TEST(LongRope, ASequenceThatEndsAtTheOriginalContextNeverSwitches) {
  const auto loaded = Load({});
  // The last token is drawn, not computed.
  testing::Run(loaded->engine(), Prompt(kLongRopeContext - 9, 10));
  EXPECT_EQ(StatsWhenIdle(*loaded).total_rope_switches, 0);
  testing::Run(loaded->engine(), Prompt(kLongRopeContext - 9, 11));
  EXPECT_EQ(StatsWhenIdle(*loaded).total_rope_switches, 1);
}

TEST(LongRope, ShortAndLongSequencesShareNoPages) {
  const auto loaded = Load({});
  const Request brief = Prompt(38, 1);
  Request full = Prompt(60, 1);
  std::copy(brief.prompt.begin(), brief.prompt.end(), full.prompt.begin());
  testing::Run(loaded->engine(), brief);
  EXPECT_EQ(Cached(testing::Run(loaded->engine(), full)), 0);
  EXPECT_EQ(Cached(testing::Run(loaded->engine(), full)), 48);
  EXPECT_EQ(Cached(testing::Run(loaded->engine(), brief)), 32);
}

class RopeUnderLoad : public ::testing::TestWithParam<std::string> {};

TEST_P(RopeUnderLoad, SameTokensWhateverTheLoadAndAfterPreemption) {
  EngineSetup setup{.model = GetParam(), .max_context = 128};
  const std::vector<Request> requests = MixedRequests();
  const std::vector<testing::Outcome> solo = Solo(setup, requests);
  for (const size_t kv_cache_bytes : {size_t{1} << 20, size_t{1} << 16}) {
    setup.kv_cache_bytes = kv_cache_bytes;
    setup.max_batch_tokens = kv_cache_bytes >> 20 != 0 ? 64 : 23;
    const auto loaded = Load(setup);
    std::vector<std::unique_ptr<testing::Call>> calls;
    for (const Request& request : requests) {
      calls.push_back(std::make_unique<testing::Call>(loaded->engine(), request));
    }
    for (size_t i = 0; i < calls.size(); ++i) {
      SCOPED_TRACE(i);
      const testing::Outcome& outcome = calls[i]->AwaitEnd();
      for (size_t index = 0; index < outcome.sequences.size(); ++index) {
        ExpectSame(outcome.sequences[index], solo[i].sequences[index]);
      }
    }
    const int64_t preemptions = StatsWhenIdle(*loaded).total_preemptions;
    EXPECT_EQ(preemptions > 0, kv_cache_bytes >> 20 == 0) << preemptions;
  }
}

INSTANTIATE_TEST_SUITE_P(, RopeUnderLoad, ::testing::Values("llama_longrope", "llama_dynamic"));

TEST(RopeScalingAtRunTime, GivesWhatTheSameScalingAtStartGives) {
  for (const char* model : {"llama_longrope", "llama_yarn", "qwen3"}) {
    const auto changed = Load({.model = model});
    for (const RopeChoice& choice : kChoices) {
      SCOPED_TRACE(model + FormatRopeChoice(choice));
      const auto started = Load({.model = model, .choice = choice});
      ASSERT_TRUE(changed->SetRopeScaling(choice).ok());
      for (int64_t length : {9, 60}) {
        ExpectSame(testing::Run(changed->engine(), Prompt(length, 20)).sequences[0],
                   testing::Run(started->engine(), Prompt(length, 20)).sequences[0]);
      }
      // And back: what config.json says, though it is not what the tables hold.
      ASSERT_TRUE(started->SetRopeScaling({}).ok());
      ASSERT_TRUE(changed->SetRopeScaling({}).ok());
      ExpectSame(testing::Run(started->engine(), Prompt(60, 20)).sequences[0],
                 testing::Run(changed->engine(), Prompt(60, 20)).sequences[0]);
    }
  }
}

TEST(RopeScalingAtRunTime, ScalingsDiffer) {
  const auto loaded = Load({.model = "llama_yarn"});
  std::vector<float> seen = {
      testing::Run(loaded->engine(), Prompt(60, 1)).sequences[0].logprobs[0].chosen.logprob};
  for (const RopeChoice& choice : kChoices) {
    if (choice.kind == Kind::kYarn) continue;
    ASSERT_TRUE(loaded->SetRopeScaling(choice).ok());
    const float logprob =
        testing::Run(loaded->engine(), Prompt(60, 1)).sequences[0].logprobs[0].chosen.logprob;
    for (float other : seen) EXPECT_NE(logprob, other) << FormatRopeChoice(choice);
    seen.push_back(logprob);
  }
}

TEST(RopeScalingAtRunTime, PagesOfOneScalingNeverServeAnother) {
  const auto loaded = Load({.model = "llama_yarn"});
  const Request request = Prompt(60, 4);
  const auto cached = [&](const RopeChoice& choice) {
    EXPECT_TRUE(loaded->SetRopeScaling(choice).ok());
    return Cached(testing::Run(loaded->engine(), request));
  };
  EXPECT_EQ(cached({}), 0);
  for (const RopeChoice& choice : kChoices) {
    EXPECT_EQ(cached(choice), 0) << FormatRopeChoice(choice);
  }
  EXPECT_EQ(cached({.kind = Kind::kLinear, .factor = 2}), 0);
  EXPECT_EQ(cached({}), 48);
  EXPECT_EQ(cached(kChoices[1]), 48);
}

TEST(RopeScalingAtRunTime, LiveRequestsKeepTheirTable) {
  const Request request = Prompt(60, 150);
  const testing::Outcome alone = Solo({.model = "llama_yarn"}, {request})[0];
  const auto loaded = Load({.model = "llama_yarn"});
  testing::Call live(loaded->engine(), request);
  live.AwaitTokens(1);
  ASSERT_TRUE(loaded->SetRopeScaling(kChoices[1]).ok());
  const testing::Outcome later = testing::Run(loaded->engine(), request);
  ExpectSame(live.AwaitEnd().sequences[0], alone.sequences[0]);
  EXPECT_EQ(Cached(later), 0);
}

TEST(RopeScalingAtStart, StretchesTheContextByItsFactor) {
  EXPECT_EQ(Load({.model = "qwen3"})->engine().capacity_tokens(), 256);
  const auto linear =
      Load({.model = "qwen3", .choice = kChoices[1], .kv_cache_bytes = size_t{4} << 20});
  EXPECT_EQ(linear->engine().capacity_tokens(), 1024);
  EXPECT_EQ(Load({.model = "llama_dynamic", .max_context = 128})->engine().capacity_tokens(), 128);
  const testing::Outcome outcome = testing::Run(linear->engine(), Prompt(900, 100));
  EXPECT_EQ(outcome.sequences[0].tokens.size(), 100U);

  LoadOptions options{.model = QUIRE_SOURCE_DIR "/tests/golden/models/qwen3"};
  options.rope_scaling = kChoices[1];
  options.max_context = 1025;
  EXPECT_THAT(std::string(LoadedModel::Load(options, nullptr).status().message()),
              HasSubstr("--max-context 1025: the limit is 1024, the model's positions with the "
                        "rotary scaling \"linear:4\""));
}

TEST(RopeScalingAtRunTime, WhatTheModelCannotTakeIsRefusedAndNothingChanges) {
  const auto loaded = Load({.model = "llama_yarn_mscale"});
  const absl::Status refused = loaded->SetRopeScaling(kChoices[1]);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("softmax scale"));
  EXPECT_EQ(loaded->SetRopeScaling({.kind = Kind::kLinear, .factor = 0.5}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(loaded->engine().rope().choice, RopeChoice{});
}

}  // namespace
}  // namespace quire
