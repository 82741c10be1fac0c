// What every backend's Sampler keeps, against the reference. A test's file includes it and says
// which samplers with INSTANTIATE_TEST_SUITE_P(..., SamplerTest, ...).
#ifndef QUIRE_TESTS_OPS_SAMPLER_SUITE_H_
#define QUIRE_TESTS_OPS_SAMPLER_SUITE_H_

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ops/reference/reference_sampler.h"
#include "ops/sampler.h"
#include "ops/sampling_math.h"

namespace quire {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline DeviceMatrix View(std::vector<float>& logits, int64_t vocab) {
  return {.data = logits.data(),
          .dtype = DType::kFloat32,
          .rows = static_cast<int64_t>(logits.size()) / vocab,
          .cols = vocab,
          .row_stride = vocab};
}

// A sampler to test.
struct TestedSampler {
  std::string name;
  std::function<std::unique_ptr<Sampler>(int64_t vocab)> make;
  // Of its random trials a test runs one in so many, where they take long.
  int trials_divisor = 1;
  std::function<bool()> is_missing = [] { return false; };  // what it needs, in this machine
};

inline std::ostream& operator<<(std::ostream& out, const TestedSampler& tested) {
  return out << tested.name;
}
inline std::string SamplerName(const ::testing::TestParamInfo<TestedSampler>& info) {
  return info.param.name;
}

class SamplerTest : public ::testing::TestWithParam<TestedSampler> {
 protected:
  void SetUp() override {
    if (GetParam().is_missing()) GTEST_SKIP() << "there is no device for it";
  }

  static std::unique_ptr<Sampler> Make(int64_t vocab) { return GetParam().make(vocab); }
  static int Trials(int trials) { return (trials - 1) / GetParam().trials_divisor + 1; }

  // One draw from one row.
  static SampledToken Draw(Sampler& sampler, std::vector<float>& logits, const SampleRow& row) {
    SampledToken drawn;
    sampler.Sample(View(logits, static_cast<int64_t>(logits.size())), {row},
                   absl::MakeSpan(&drawn, 1));
    return drawn;
  }

  std::unique_ptr<Sampler> reference_ = MakeReferenceSampler();
};

inline std::vector<float> Normal(std::mt19937_64& random, int64_t size, float scale) {
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

inline SamplingParams RandomParams(std::mt19937_64& random, int64_t vocab) {
  const auto pick = [&](std::initializer_list<float> of) {
    return *(of.begin() + random() % of.size());
  };
  SamplingParams params;
  params.temperature = pick({0.0F, 0.1F, 0.7F, 1.0F, 1.5F, 20.0F, 1e-6F, 1e-40F, FLT_TRUE_MIN});
  params.top_k = static_cast<int32_t>(pick({0, 0, 1, 2, 40, 500, 1e6}));
  params.top_p = pick({1.0F, 1.0F, 0.95F, 0.5F, 0.01F, 1e-7F, 0.9999F});
  params.min_p = pick({0.0F, 0.0F, 0.05F, 0.5F, 1.0F, 2.5e-12F});
  params.repetition_penalty = pick({1.0F, 1.0F, 1.3F, 0.7F});
  params.presence_penalty = pick({0.0F, 0.0F, 0.5F, -2.0F});
  params.frequency_penalty = pick({0.0F, 0.0F, 0.3F, -0.1F});
  for (uint64_t i = random() % 4; i > 0; --i) {
    params.logit_bias.emplace_back(static_cast<TokenId>(random() % vocab), pick({-100, 5, 20}));
  }
  std::sort(params.logit_bias.begin(), params.logit_bias.end());
  params.logit_bias.erase(
      std::unique(params.logit_bias.begin(), params.logit_bias.end(),
                  [](const auto& a, const auto& b) { return a.first == b.first; }),
      params.logit_bias.end());
  params.seed = random();
  return params;
}

TEST_P(SamplerTest, DrawsWhatTheReferenceDrawsForAnyParameters) {
  std::mt19937_64 random(7);
  for (int64_t vocab : {1, 2, 63, 64, 65, 1000, 5003}) {
    const auto sampler = Make(vocab);
    for (int trial = 0; trial < Trials(150); ++trial) {
      const float scales[] = {0.0F, 0.3F, 3.0F, 30.0F};
      std::vector<float> logits = Normal(random, vocab, scales[random() % 4]);
      if (trial % 3 == 0) {  // many ties
        for (float& x : logits) x = std::round(x);
      }
      if (trial % 7 == 0) logits[random() % vocab] = kNan;
      if (trial % 7 == 1) logits[random() % vocab] = -kInfinity;
      const SamplingParams params = RandomParams(random, vocab);
      std::vector<TokenId> prompt(random() % 20);
      std::vector<TokenId> output(random() % 20);
      for (TokenId& id : prompt) id = static_cast<TokenId>(random() % vocab);
      for (TokenId& id : output) id = static_cast<TokenId>(random() % vocab);
      std::vector<TokenId> banned;
      if (trial % 5 == 0 && vocab > 2) banned.push_back(static_cast<TokenId>(random() % vocab));
      const SampleRow row{.params = &params,
                          .sequence_index = static_cast<uint32_t>(random() % 3),
                          .output_position = random() % 100,
                          .prompt = prompt,
                          .output = output,
                          .banned = banned};
      ASSERT_EQ(Draw(*sampler, logits, row).token, Draw(*reference_, logits, row).token)
          << "vocab " << vocab << " trial " << trial << " temperature " << params.temperature
          << " top_k " << params.top_k << " top_p " << params.top_p << " min_p " << params.min_p;
    }
  }
}

TEST_P(SamplerTest, LogprobsAreLogSoftmaxOfTheRawLogits) {
  std::mt19937_64 random(3);
  const int64_t vocab = 3001;
  const auto sampler = Make(vocab);
  for (int trial = 0; trial < Trials(20); ++trial) {
    std::vector<float> logits = Normal(random, vocab, trial % 4 < 2 ? 2.0F : 15.0F);
    if (trial % 2 == 0) {
      for (float& x : logits) x = std::round(x);
    }
    SamplingParams params;
    params.temperature = 0.3F;  // none of these moves a log-probability
    params.logit_bias = {{5, 10.0F}};
    params.seed = random();
    const SampleRow row{.params = &params, .top_logprobs = 20};
    const SampledToken got = Draw(*sampler, logits, row);
    const SampledToken want = Draw(*reference_, logits, row);
    ASSERT_EQ(got.token, want.token);
    EXPECT_EQ(got.logprobs.chosen.token, want.token);
    // Rounding of the fp32 result, and of weights to 2^-40.
    EXPECT_NEAR(got.logprobs.chosen.logprob, want.logprobs.chosen.logprob, 2e-6);
    ASSERT_EQ(got.logprobs.top.size(), 20U);
    for (size_t i = 0; i < 20; ++i) {
      EXPECT_EQ(got.logprobs.top[i].token, want.logprobs.top[i].token) << i;
      EXPECT_NEAR(got.logprobs.top[i].logprob, want.logprobs.top[i].logprob, 2e-6) << i;
    }
  }
}

TEST_P(SamplerTest, ScoresGivenTokens) {
  std::mt19937_64 random(5);
  const int64_t vocab = 200;
  std::vector<float> logits = Normal(random, 3 * vocab, 3.0F);
  const std::vector<TokenId> targets = {0, 199, 77};
  std::vector<TokenLogprobs> got(3);
  std::vector<TokenLogprobs> want(3);
  Make(vocab)->Score(View(logits, vocab), targets, 3, absl::MakeSpan(got));
  reference_->Score(View(logits, vocab), targets, 3, absl::MakeSpan(want));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(got[i].chosen.token, targets[i]);
    EXPECT_NEAR(got[i].chosen.logprob, want[i].chosen.logprob, 2e-6);
    ASSERT_EQ(got[i].top.size(), 3U);
    EXPECT_EQ(got[i].top[2].token, want[i].top[2].token);
  }
}

TEST_P(SamplerTest, RowsWithoutAFiniteGreatestLogitGiveNoToken) {
  const auto sampler = Make(4);
  SamplingParams params;
  for (float temperature : {0.0F, 1.0F}) {
    params.temperature = temperature;
    for (std::vector<float> logits : {std::vector<float>{kNan, kNan, kNan, kNan},
                                      std::vector<float>{-kInfinity, -kInfinity, kNan, -kInfinity},
                                      std::vector<float>{1, kInfinity, 2, 3}}) {
      EXPECT_EQ(Draw(*sampler, logits, {.params = &params}).token, kNoToken);
      EXPECT_EQ(Draw(*reference_, logits, {.params = &params}).token, kNoToken);
    }
  }
}

TEST_P(SamplerTest, ScoresOfARowWithoutAFiniteGreatestLogitAreNone) {
  std::vector<float> logits = {kNan, kNan, kNan, 1, kInfinity, 2, 0, 1, kNan};
  const std::vector<TokenId> targets = {0, 0, 2};
  for (Sampler* sampler : {Make(3).release(), MakeReferenceSampler().release()}) {
    const std::unique_ptr<Sampler> owner(sampler);
    std::vector<TokenLogprobs> got(3);
    got[0].top.resize(2);  // of a step before
    sampler->Score(View(logits, 3), targets, 3, absl::MakeSpan(got));
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(got[i].chosen.token, kNoToken);
      EXPECT_TRUE(got[i].top.empty());
    }
    EXPECT_EQ(got[2].chosen.token, 2);
    EXPECT_EQ(got[2].chosen.logprob, -kInfinity);  // NaN counts as -infinity
    ASSERT_EQ(got[2].top.size(), 2U);
    EXPECT_EQ(got[2].top[0].token, 1);
  }
}

TEST_P(SamplerTest, ATokenWithoutTheLogprobsAskedForIsNone) {
  std::vector<float> logits = {1, kInfinity, 2};
  SamplingParams params;
  params.temperature = 0;
  const std::vector<TokenId> banned = {1};
  const SampleRow row{.params = &params, .banned = banned, .top_logprobs = 1};
  EXPECT_EQ(Draw(*Make(3), logits, row).token, kNoToken);
  EXPECT_EQ(Draw(*reference_, logits, row).token, kNoToken);
}

TEST_P(SamplerTest, TopKMayExceedTheNumbersThatARowHas) {
  for (int64_t vocab : {5, 1000}) {
    const auto sampler = Make(vocab);
    std::vector<float> logits(vocab, kNan);
    logits[vocab - 2] = -3;
    SamplingParams params;
    for (int32_t top_k : {2, 4, 999}) {
      params.top_k = top_k;
      for (float top_p : {1.0F, 0.5F}) {
        params.top_p = top_p;
        EXPECT_EQ(Draw(*sampler, logits, {.params = &params}).token, vocab - 2) << top_k;
      }
    }
  }
}

TEST_P(SamplerTest, ATinyTemperatureLeavesTheGreatestAlone) {
  std::mt19937_64 random(1);
  std::vector<float> logits = Normal(random, 3000, 2.0F);
  const auto greatest = std::max_element(logits.begin(), logits.end()) - logits.begin();
  const auto sampler = Make(3000);
  SamplingParams params;
  for (float temperature : {1e-30F, 5e-39F, 4e-39F, 1e-40F, FLT_TRUE_MIN}) {
    params.temperature = temperature;
    for (float top_p : {1.0F, 0.9F}) {
      params.top_p = top_p;
      for (uint64_t position = 0; position < 5; ++position) {
        const SampleRow row{.params = &params, .output_position = position};
        EXPECT_EQ(Draw(*sampler, logits, row).token, greatest) << temperature;
      }
    }
  }
}

// A weight of 2 against a share of 2.5.
TEST_P(SamplerTest, MinPKeepsNoWeightBelowItsShare) {
  const auto sampler = Make(2);
  std::vector<float> logits = {0, -27.0F};  // a weight of 2.07, so 2
  SamplingParams params;
  params.min_p = 2.5F * 0x1p-40F;
  for (uint64_t position = 0; position < 3; ++position) {
    EXPECT_EQ(Draw(*sampler, logits, {.params = &params, .output_position = position}).token, 0);
  }
  EXPECT_EQ(MinWeight(2.5F * 0x1p-40F), 3U);
  EXPECT_EQ(MinWeight(2.0F * 0x1p-40F), 2U);
  EXPECT_EQ(MinWeight(1.0F), kUnitWeight);
}

TEST_P(SamplerTest, BannedTokensAreNeverDrawn) {
  const auto sampler = Make(8);
  std::vector<float> logits = {0, 9, 0, 9, 0, 0, 0, 0};
  SamplingParams params;
  const std::vector<TokenId> banned = {1, 3};
  for (int position = 0; position < Trials(200); ++position) {
    const TokenId token = Draw(*sampler, logits,
                               {.params = &params,
                                .output_position = static_cast<uint64_t>(position),
                                .banned = banned})
                              .token;
    EXPECT_NE(token, 1);
    EXPECT_NE(token, 3);
  }
}

TEST_P(SamplerTest, FrequenciesFollowTheSoftmax) {
  const auto sampler = Make(6);
  std::vector<float> logits = {0, 1, 2, 0.5F, -1, 1.5F};
  SamplingParams params;
  params.temperature = 1.3F;
  params.seed = 99;
  std::vector<double> expected(6);
  double sum = 0;
  for (size_t i = 0; i < 6; ++i) sum += expected[i] = std::exp(logits[i] / 1.3);
  const int draws = Trials(40000);
  std::vector<int> counts(6);
  for (int i = 0; i < draws; ++i) {
    const auto position = static_cast<uint64_t>(i);
    ++counts[Draw(*sampler, logits, {.params = &params, .output_position = position}).token];
  }
  double chi_square = 0;
  for (size_t i = 0; i < 6; ++i) {
    const double want = draws * expected[i] / sum;
    chi_square += (counts[i] - want) * (counts[i] - want) / want;
  }
  EXPECT_LT(chi_square, 20.5);  // 5 degrees of freedom, p = 0.001; the seed is fixed
}

// The edits by hand. The greedy token tells whether y of the edited id is above that of a fixed
// one, so each case is asked twice: with the other just below and just above what y must be.
struct EditCase {
  const char* name;
  float logit;
  SamplingParams params;
  std::vector<TokenId> prompt;
  std::vector<TokenId> output;
  float want;
};

TEST_P(SamplerTest, EditsAreWhatTheyAreByHand) {
  static constexpr TokenId kId = 1;
  const auto with = [](float repetition, float presence, float frequency, float bias) {
    SamplingParams params;
    params.temperature = 0;
    params.repetition_penalty = repetition;
    params.presence_penalty = presence;
    params.frequency_penalty = frequency;
    if (bias != 0) params.logit_bias = {{kId, bias}};
    return params;
  };
  const EditCase cases[] = {
      {"no text", 4, with(2, 1, 1, 0), {}, {}, 4},
      {"repetition divides y > 0", 4, with(2, 0, 0, 0), {}, {1}, 2},
      {"repetition multiplies y < 0", -4, with(2, 0, 0, 0), {}, {1}, -8},
      {"repetition below 1 rewards", 4, with(0.5F, 0, 0, 0), {1}, {}, 8},
      {"repetition counts the prompt", 4, with(2, 0, 0, 0), {1, 1}, {}, 2},
      {"repetition once for both", 4, with(2, 0, 0, 0), {1, 1}, {1, 1}, 2},
      {"presence and frequency do not", 4, with(1, 1, 1, 0), {1}, {}, 4},
      {"presence once", 4, with(1, 0.5F, 0, 0), {}, {1, 1, 1}, 3.5F},
      {"presence below 0 rewards", 4, with(1, -0.5F, 0, 0), {}, {1}, 4.5F},
      {"frequency times the count", 4, with(1, 0, 0.5F, 0), {1}, {1, 3, 1, 1}, 2.5F},
      {"repetition before the others", 4, with(2, 0.25F, 0.5F, 0), {1}, {1, 1, 1}, 0.25F},
      {"bias before repetition", -1, with(2, 0, 0, 5), {}, {1}, 2},
      {"bias may change the side", 1, with(2, 0, 0, -5), {1}, {}, -8},
      {"all", -1, with(2, 0.25F, 0.5F, 5), {1, 2}, {3, 1, 1}, 0.75F},
  };
  const auto sampler = Make(4);
  for (const EditCase& c : cases) {
    for (float offset : {-0.125F, 0.125F}) {
      std::vector<float> logits = {c.want + offset, c.logit, -100, -100};
      const SampleRow row{.params = &c.params, .prompt = c.prompt, .output = c.output};
      const TokenId want = offset < 0 ? kId : 0;
      EXPECT_EQ(Draw(*sampler, logits, row).token, want) << c.name;
      EXPECT_EQ(Draw(*reference_, logits, row).token, want) << c.name;
    }
  }
}

TEST_P(SamplerTest, ABanOutdoesABias) {
  SamplingParams params;
  params.temperature = 0;
  params.logit_bias = {{1, 100}};
  params.presence_penalty = -2;
  const std::vector<TokenId> ids = {1};
  std::vector<float> logits = {0, 1};
  const SampleRow row{.params = &params, .output = ids, .banned = ids};
  EXPECT_EQ(Draw(*Make(2), logits, row).token, 0);
  EXPECT_EQ(Draw(*reference_, logits, row).token, 0);
}

}  // namespace quire

#endif  // QUIRE_TESTS_OPS_SAMPLER_SUITE_H_
