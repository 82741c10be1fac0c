// The law that a request gives the same, to the bit, whatever the load: what its tests share.
#ifndef QUIRE_TESTS_ENGINE_INVARIANCE_H_
#define QUIRE_TESTS_ENGINE_INVARIANCE_H_

#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "engine/load_model.h"
#include "gtest/gtest.h"
#include "tests/testing/engine_client.h"

namespace quire::testing {

inline std::unique_ptr<LoadedModel> LoadForTest(const LoadOptions& options) {
  auto loaded = LoadedModel::Load(options, nullptr);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return *std::move(loaded);
}

inline bool IsSame(const TokenLogprob& a, const TokenLogprob& b) {
  return a.token == b.token && std::memcmp(&a.logprob, &b.logprob, sizeof(float)) == 0;
}

inline void ExpectSame(const std::vector<TokenLogprobs>& got,
                       const std::vector<TokenLogprobs>& want) {
  const auto expect_same = [](const TokenLogprob& a, const TokenLogprob& b) {
    ASSERT_TRUE(IsSame(a, b)) << a.token << ": " << a.logprob << " and " << b.token << ": "
                              << b.logprob << ", apart by " << a.logprob - b.logprob;
  };
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size() && !::testing::Test::HasFatalFailure(); ++i) {
    SCOPED_TRACE(i);
    expect_same(got[i].chosen, want[i].chosen);
    ASSERT_EQ(got[i].top.size(), want[i].top.size());
    for (size_t k = 0; k < got[i].top.size(); ++k) expect_same(got[i].top[k], want[i].top[k]);
  }
}

// Of a request that asks for log-probabilities.
inline void ExpectSame(const Outcome& got, const Outcome& want) {
  ExpectSame(got.prompt_logprobs, want.prompt_logprobs);
  ASSERT_EQ(got.sequences.size(), want.sequences.size());
  for (size_t index = 0; index < got.sequences.size(); ++index) {
    const auto& a = got.sequences[index];
    const auto& b = want.sequences[index];
    ASSERT_EQ(a.tokens, b.tokens);
    ASSERT_EQ(a.logprobs.size(), a.tokens.size());
    ExpectSame(a.logprobs, b.logprobs);
  }
}

// Each request alone, with nothing that the engine has seen before.
inline std::vector<Outcome> RunAlone(Engine& engine, std::vector<Request> requests) {
  std::vector<Outcome> outcomes;
  for (Request& request : requests) {
    request.bypass_prefix_cache = true;
    outcomes.push_back(testing::Run(engine, std::move(request)));
  }
  return outcomes;
}

inline std::vector<std::unique_ptr<Call>> SubmitAll(Engine& engine,
                                                    const std::vector<Request>& requests) {
  std::vector<std::unique_ptr<Call>> calls;
  for (const Request& request : requests) {
    calls.push_back(std::make_unique<Call>(engine, request));
  }
  return calls;
}

// What the load made of some calls.
struct LoadSeen {
  int64_t preemptions = 0;
  int64_t cached_tokens = 0;  // of prompts
};

// Awaits the calls' ends.
inline LoadSeen ExpectAllSame(const std::vector<std::unique_ptr<Call>>& calls,
                              const std::vector<Outcome>& solo) {
  LoadSeen seen;
  for (size_t i = 0; i < calls.size(); ++i) {
    SCOPED_TRACE(i);
    const Outcome& outcome = calls[i]->AwaitEnd();
    ExpectSame(outcome, solo[i]);
    for (const auto& sequence : outcome.sequences) {
      seen.preemptions += sequence.finish->usage.preemptions;
    }
    seen.cached_tokens += outcome.sequences[0].finish->usage.cached_tokens;
  }
  return seen;
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ENGINE_INVARIANCE_H_
