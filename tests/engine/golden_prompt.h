// An engine against what the oracle gave for one prompt: its own tokens' log-probabilities, then
// greedy tokens and the likeliest at each step, strictly in float32.
#ifndef QUIRE_TESTS_ENGINE_GOLDEN_PROMPT_H_
#define QUIRE_TESTS_ENGINE_GOLDEN_PROMPT_H_

#include <nlohmann/json.hpp>
#include <vector>

#include "engine/engine.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_client.h"

namespace quire::testing {

// fp32 on both sides; sums in other orders move log-probabilities by a few units of 1e-6.
inline constexpr double kGoldenTolerance = 2e-4;

inline void ExpectTop(const TokenLogprobs& got, const nlohmann::json& want) {
  const auto ids = want.at("ids").get<std::vector<TokenId>>();
  const auto logprobs = want.at("logprobs").get<std::vector<double>>();
  ASSERT_GE(got.top.size(), ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_NEAR(got.top[i].logprob, logprobs[i], kGoldenTolerance) << "rank " << i;
    // Ranks may swap where two log-probabilities agree to the tolerance.
    const bool near_tie =
        (i > 0 && logprobs[i - 1] - logprobs[i] < kGoldenTolerance) ||
        (i + 1 < ids.size() && logprobs[i] - logprobs[i + 1] < kGoldenTolerance) ||
        i + 1 == ids.size();
    if (!near_tie) {
      EXPECT_EQ(got.top[i].token, ids[i]) << "rank " << i;
    }
  }
}

// `prompt`: ids, prompt_logprobs, greedy_ids, greedy_top5 and maybe last_top20, as tools/make_*
// write them.
inline void ExpectMeetsGolden(Engine& engine, const nlohmann::json& prompt) {
  Request request;
  prompt.at("ids").get_to(request.prompt);
  SCOPED_TRACE(request.prompt.size());
  const auto greedy = prompt.at("greedy_ids").get<std::vector<TokenId>>();
  request.sampling.temperature = 0;
  request.stopping.max_new_tokens = static_cast<int64_t>(greedy.size());
  request.top_logprobs = 20;
  request.prompt_logprobs = true;
  const Outcome outcome = Run(engine, request);
  const auto scores = prompt.at("prompt_logprobs").get<std::vector<double>>();
  ASSERT_EQ(outcome.prompt_logprobs.size(), scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    EXPECT_NEAR(outcome.prompt_logprobs[i].chosen.logprob, scores[i], kGoldenTolerance) << i;
  }
  const auto& sequence = outcome.sequences[0];
  EXPECT_EQ(sequence.tokens, greedy);
  if (prompt.contains("last_top20")) ExpectTop(sequence.logprobs[0], prompt.at("last_top20"));
  for (size_t step = 0; step < sequence.logprobs.size(); ++step) {
    SCOPED_TRACE(step);
    ExpectTop(sequence.logprobs[step], prompt.at("greedy_top5")[step]);
  }
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ENGINE_GOLDEN_PROMPT_H_
