// Batches of random rows for samplers that are held against the CPU's.
#ifndef QUIRE_TESTS_OPS_SAMPLER_BATCHES_H_
#define QUIRE_TESTS_OPS_SAMPLER_BATCHES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_sampler.h"
#include "tests/ops/sampler_suite.h"

namespace quire {

// Rows of one matrix, each with its own parameters and history.
struct Batch {
  int64_t vocab = 0;
  int64_t stride = 0;
  std::vector<float> storage;
  int64_t offset = 0;  // of the first row in storage
  std::vector<SamplingParams> params;
  std::vector<std::vector<TokenId>> prompts, outputs, bans;
  std::vector<SampleRow> rows;

  DeviceMatrix logits() {
    return {.data = storage.data() + offset,
            .dtype = DType::kFloat32,
            .rows = (static_cast<int64_t>(storage.size()) - offset) / stride,
            .cols = vocab,
            .row_stride = stride};
  }
};

// Logits that are spread, tied, crowded into neighbouring numbers, or not numbers at all.
inline std::vector<float> RandomLogits(std::mt19937_64& random, int64_t vocab) {
  const float scales[] = {0.0F, 0.3F, 3.0F, 30.0F, 1e30F};
  std::vector<float> logits = Normal(random, vocab, scales[random() % 5]);
  const uint64_t kind = random() % 8;
  for (float& x : logits) {
    if (kind == 0) x = std::round(x);
    if (kind == 1) x = 1.0F + static_cast<float>(random() % 900) * 0x1p-23F;
    if (kind == 2 && random() % 3 == 0) x = random() % 2 == 0 ? kNan : -kInfinity;
    if (kind == 3) x *= 1e-42F;
    if (kind == 4 && random() % 2 == 0) x = random() % 2 == 0 ? 0.0F : -0.0F;
  }
  return logits;
}

inline std::vector<TokenId> RandomIds(std::mt19937_64& random, int64_t vocab, int64_t most) {
  std::vector<TokenId> ids(random() % (most + 1));
  for (TokenId& id : ids) id = static_cast<TokenId>(random() % vocab);
  return ids;
}

inline Batch RandomBatch(std::mt19937_64& random, int64_t vocab, int64_t rows, int64_t gap,
                         int64_t offset) {
  Batch batch{.vocab = vocab, .stride = vocab + gap, .offset = offset};
  batch.storage.resize(offset + rows * batch.stride);
  for (int64_t i = 0; i < rows; ++i) {
    const std::vector<float> logits = RandomLogits(random, vocab);
    std::copy(logits.begin(), logits.end(), batch.storage.begin() + offset + i * batch.stride);
    batch.params.push_back(RandomParams(random, vocab));
    if (random() % 2 == 0) {  // a row that edits nothing
      SamplingParams& params = batch.params.back();
      params.logit_bias.clear();
      params.repetition_penalty = 1.0F;
      params.presence_penalty = params.frequency_penalty = 0.0F;
    }
    batch.prompts.push_back(RandomIds(random, vocab, 20));
    batch.outputs.push_back(RandomIds(random, vocab, 20));
    batch.bans.push_back(random() % 4 == 0 ? RandomIds(random, vocab, std::min<int64_t>(vocab, 3))
                                           : std::vector<TokenId>());
  }
  for (int64_t i = 0; i < rows; ++i) {
    batch.rows.push_back({.logits_row = static_cast<int64_t>(random() % rows),
                          .params = &batch.params[i],
                          .sequence_index = static_cast<uint32_t>(random() % 3),
                          .output_position = random() % 100,
                          .prompt = batch.prompts[i],
                          .output = batch.outputs[i],
                          .banned = batch.bans[i]});
    if (random() % 4 == 0) batch.rows[i].top_logprobs = static_cast<int32_t>(random() % 21);
  }
  return batch;
}

inline void ExpectSame(const TokenLogprobs& got, const TokenLogprobs& want) {
  EXPECT_EQ(got.chosen.token, want.chosen.token);
  if (want.chosen.token == kNoToken) return;
  EXPECT_EQ(got.chosen.logprob, want.chosen.logprob);
  ASSERT_EQ(got.top.size(), want.top.size());
  for (size_t i = 0; i < want.top.size(); ++i) {
    EXPECT_EQ(got.top[i].token, want.top[i].token) << i;
    EXPECT_EQ(got.top[i].logprob, want.top[i].logprob) << i;
  }
}

inline std::vector<SampledToken> Draws(Sampler& sampler, Batch& batch) {
  std::vector<SampledToken> drawn(batch.rows.size());
  sampler.Sample(batch.logits(), batch.rows, absl::MakeSpan(drawn));
  return drawn;
}

// What the CPU draws, to the bit, and what the sampler did.
inline std::vector<SampledToken> ExpectCpuDraws(Sampler& sampler, Batch& batch) {
  ThreadPool pool(1);
  const auto cpu = MakeCpuSampler(pool, AvailableCpuIsas().front(), batch.vocab);
  const std::vector<SampledToken> want = Draws(*cpu, batch);
  const std::vector<SampledToken> got = Draws(sampler, batch);
  for (size_t i = 0; i < want.size(); ++i) {
    const SamplingParams& params = *batch.rows[i].params;
    SCOPED_TRACE(::testing::Message() << "vocab " << batch.vocab << " row " << i << " temperature "
                                      << params.temperature << " top_k " << params.top_k
                                      << " top_p " << params.top_p << " min_p " << params.min_p);
    EXPECT_EQ(got[i].token, want[i].token);
    if (batch.rows[i].top_logprobs && want[i].token != kNoToken) {
      ExpectSame(got[i].logprobs, want[i].logprobs);
    }
  }
  return got;
}

// The batch again and again. Most rows are of sequences, whose outputs grow by what they draw.
inline void ExpectCpuDrawsOfSteps(Sampler& sampler, Batch& batch, int steps) {
  for (int step = 0; step < steps; ++step) {
    for (size_t i = 0; i < batch.rows.size(); ++i) {
      batch.rows[i].sequence = i % 5 == 0 ? 0 : i;
      batch.rows[i].output = batch.outputs[i];
    }
    const std::vector<SampledToken> drawn = ExpectCpuDraws(sampler, batch);
    for (size_t i = 0; i < drawn.size(); ++i) {
      if (drawn[i].token != kNoToken) batch.outputs[i].push_back(drawn[i].token);
    }
  }
}

}  // namespace quire

#endif  // QUIRE_TESTS_OPS_SAMPLER_BATCHES_H_
