// The demo checkpoint against its oracle (models/fairytale/golden.json), at the engine.
#include <cmath>
#include <memory>
#include <string>

#include "engine/load_model.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_client.h"
#include "tests/testing/golden.h"

namespace quire {
namespace {

const char kModel[] = QUIRE_SOURCE_DIR "/models/fairytale";

std::unique_ptr<LoadedModel> Load(DType dtype) {
  LoadOptions options{.model = kModel, .dtype = dtype};
  options.kv_cache_bytes = size_t{64} << 20;
  auto loaded = LoadedModel::Load(options, nullptr);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return *std::move(loaded);
}

Request Greedy(const std::vector<int32_t>& prompt, int64_t max_new_tokens) {
  Request request;
  request.prompt = prompt;
  request.sampling.temperature = 0;
  request.stopping.max_new_tokens = max_new_tokens;
  request.top_logprobs = 5;
  return request;
}

TEST(FairytaleGolden, Float32IsStrict) {
  const auto loaded = Load(DType::kFloat32);
  for (const testing::GoldenPrompt& prompt : testing::ReadGolden(kModel).prompts) {
    SCOPED_TRACE(prompt.name);
    const auto outcome = testing::Run(
        loaded->engine(), Greedy(prompt.ids, static_cast<int64_t>(prompt.greedy_ids.size())));
    const auto& sequence = outcome.sequences[0];
    EXPECT_EQ(sequence.tokens, prompt.greedy_ids);
    for (const testing::GoldenTop& top : prompt.top) {
      const TokenLogprobs& got = sequence.logprobs[top.step];
      ASSERT_EQ(got.top.size(), top.ids.size());
      for (size_t i = 0; i < top.ids.size(); ++i) {
        EXPECT_EQ(got.top[i].token, top.ids[i]) << "step " << top.step;
        EXPECT_NEAR(got.top[i].logprob, top.logprobs[i], 1e-3) << "step " << top.step;
      }
    }
  }
}

// A greedy token that differs counts only where the oracle's first choice leads by more than 0.1;
// comparison then goes on from the oracle's token.
TEST(FairytaleGolden, Bfloat16FollowsTheNearTieRule) {
  const auto loaded = Load(DType::kBFloat16);
  for (const testing::GoldenPrompt& prompt : testing::ReadGolden(kModel).prompts) {
    SCOPED_TRACE(prompt.name);
    std::vector<int32_t> forced = prompt.ids;
    size_t done = 0;
    while (done < prompt.greedy_ids.size()) {
      const auto outcome = testing::Run(
          loaded->engine(), Greedy(forced, static_cast<int64_t>(prompt.greedy_ids.size() - done)));
      for (TokenId token : outcome.sequences[0].tokens) {
        const bool same = token == prompt.greedy_ids[done];
        EXPECT_TRUE(same || prompt.greedy_gaps[done] <= 0.1)
            << "token " << done << " is " << token << ", the oracle's " << prompt.greedy_ids[done]
            << " leads by " << prompt.greedy_gaps[done];
        forced.push_back(prompt.greedy_ids[done++]);
        if (!same) break;
      }
    }
  }
}

}  // namespace
}  // namespace quire
