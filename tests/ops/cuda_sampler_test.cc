// The CUDA sampler, its kernels emulated: what every sampler keeps, and that it draws what the
// CPU's does from rows of any kind, in any company.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_sampler.h"
#include "ops/cuda/cuda_sampler.h"
#include "tests/ops/sampler_suite.h"
#include "tests/testing/emulated_matrix.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedMemory;
using ::quire::emulation::EmulatedQueue;
using ::quire::emulation::EmulationOptions;
using ::quire::testing::EmulatedMatrix;

// The CUDA sampler with a device of its own. Logits are in host memory, and stay as they are.
class EmulatedSampler : public Sampler {
 public:
  EmulatedSampler(const CudaSamplerOptions& options, const EmulationOptions& emulation)
      : queue_(emulation), sampler_(MakeCudaSampler(queue_, memory_, options).value()) {}

  void Sample(const DeviceMatrix& logits, absl::Span<const SampleRow> rows,
              absl::Span<SampledToken> results) override {
    Watch(logits, [&] { sampler_->Sample(logits, rows, results); });
  }
  void Score(const DeviceMatrix& logits, absl::Span<const TokenId> targets, int32_t top,
             absl::Span<TokenLogprobs> results) override {
    Watch(logits, [&] { sampler_->Score(logits, targets, top, results); });
  }

 private:
  template <typename Call>
  static void Watch(const DeviceMatrix& logits, Call call) {
    const EmulatedMatrix memory("logits", logits, EmulatedMatrix::kInput);
    const auto* begin = static_cast<const char*>(logits.data);
    const std::vector<char> before(
        begin, begin + ((logits.rows - 1) * logits.row_stride + logits.cols) * sizeof(float));
    call();
    EXPECT_EQ(std::memcmp(before.data(), begin, before.size()), 0) << "logits were changed";
  }

  EmulatedMemory memory_;
  EmulatedQueue queue_;
  std::unique_ptr<Sampler> sampler_;
};

std::unique_ptr<Sampler> MakeEmulated(int64_t vocab, const EmulationOptions& emulation = {},
                                      int64_t max_rows = 64) {
  return std::make_unique<EmulatedSampler>(CudaSamplerOptions{.vocab_size = vocab,
                                                              .max_rows = max_rows,
                                                              .max_edited_rows = (max_rows + 3) / 4,
                                                              .max_edits = 64},
                                           emulation);
}

INSTANTIATE_TEST_SUITE_P(
    Emulated, SamplerTest,
    ::testing::Values(TestedSampler{"InOrder", [](int64_t vocab) { return MakeEmulated(vocab); },
                                    20},
                      TestedSampler{"Shuffled",
                                    [](int64_t vocab) {
                                      return MakeEmulated(vocab, {.seed = 3, .resident_blocks = 3});
                                    },
                                    20}),
    SamplerName);

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
            .rows = static_cast<int64_t>(params.size()),
            .cols = vocab,
            .row_stride = stride};
  }
};

// Logits that are spread, tied, crowded into neighbouring numbers, or not numbers at all.
std::vector<float> RandomLogits(std::mt19937_64& random, int64_t vocab) {
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

std::vector<TokenId> RandomIds(std::mt19937_64& random, int64_t vocab, int64_t most) {
  std::vector<TokenId> ids(random() % (most + 1));
  for (TokenId& id : ids) id = static_cast<TokenId>(random() % vocab);
  return ids;
}

Batch RandomBatch(std::mt19937_64& random, int64_t vocab, int64_t rows, int64_t gap,
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

void ExpectSame(const TokenLogprobs& got, const TokenLogprobs& want) {
  EXPECT_EQ(got.chosen.token, want.chosen.token);
  if (want.chosen.token == kNoToken) return;
  EXPECT_EQ(got.chosen.logprob, want.chosen.logprob);
  ASSERT_EQ(got.top.size(), want.top.size());
  for (size_t i = 0; i < want.top.size(); ++i) {
    EXPECT_EQ(got.top[i].token, want.top[i].token) << i;
    EXPECT_EQ(got.top[i].logprob, want.top[i].logprob) << i;
  }
}

class CudaSamplerTest : public ::testing::Test {
 protected:
  static std::vector<SampledToken> Draws(Sampler& sampler, Batch& batch) {
    std::vector<SampledToken> drawn(batch.rows.size());
    sampler.Sample(batch.logits(), batch.rows, absl::MakeSpan(drawn));
    return drawn;
  }
  // As the CPU does, to the bit.
  void ExpectCpuDraws(Sampler& sampler, Batch& batch) {
    const auto cpu = MakeCpuSampler(pool_, AvailableCpuIsas().front(), batch.vocab);
    const std::vector<SampledToken> want = Draws(*cpu, batch);
    const std::vector<SampledToken> got = Draws(sampler, batch);
    for (size_t i = 0; i < want.size(); ++i) {
      const SamplingParams& params = *batch.rows[i].params;
      SCOPED_TRACE(::testing::Message()
                   << "vocab " << batch.vocab << " row " << i << " temperature "
                   << params.temperature << " top_k " << params.top_k << " top_p " << params.top_p
                   << " min_p " << params.min_p);
      ASSERT_EQ(got[i].token, want[i].token);
      if (batch.rows[i].top_logprobs && want[i].token != kNoToken) {
        ExpectSame(got[i].logprobs, want[i].logprobs);
      }
    }
  }

  ThreadPool pool_{1};
};

TEST_F(CudaSamplerTest, DrawsWhatTheCpuDrawsFromSmallRows) {
  std::mt19937_64 random(11);
  for (int64_t vocab = 1; vocab <= 70; ++vocab) {
    const auto sampler = MakeEmulated(vocab, {.seed = static_cast<uint32_t>(vocab % 2)});
    Batch batch = RandomBatch(random, vocab, 25, vocab % 3, vocab % 5);
    ExpectCpuDraws(*sampler, batch);
  }
}

TEST_F(CudaSamplerTest, DrawsWhatTheCpuDrawsFromLargerRows) {
  std::mt19937_64 random(12);
  for (int64_t vocab : {127, 128, 255, 256, 257, 600, 1023, 1024, 1025, 1999, 2000, 4099}) {
    const auto sampler = MakeEmulated(vocab);
    Batch batch = RandomBatch(random, vocab, 40, vocab % 2, 0);
    ExpectCpuDraws(*sampler, batch);
  }
}

TEST_F(CudaSamplerTest, DrawsWhatTheCpuDrawsFromAWholeVocabulary) {
  std::mt19937_64 random(13);
  const auto sampler = MakeEmulated(151936, {.detect_races = false});
  Batch batch = RandomBatch(random, 151936, 3, 0, 0);
  batch.rows[0].logits_row = 0;
  batch.params[0] = {.top_k = 50, .top_p = 0.9F, .seed = 5};
  batch.params[1].top_k = 3000;
  ExpectCpuDraws(*sampler, batch);
}

// Ties and neighbouring numbers beyond what a bin's list holds: each level of the selection.
TEST_F(CudaSamplerTest, CutsInsideOfCrowds) {
  const int64_t vocab = 3000;
  const auto sampler = MakeEmulated(vocab);
  Batch batch{.vocab = vocab, .stride = vocab};
  for (const float step : {0.0F, 0x1p-23F}) {
    for (int64_t i = 0; i < vocab; ++i) {
      batch.storage.push_back(1.0F + static_cast<float>(i * 7 % vocab) * step);
    }
    for (int32_t top_k : {1, 2, 255, 256, 257, 1500, 2999}) {
      for (float top_p : {1.0F, 0.6F}) {
        batch.params.push_back({.top_k = top_k, .top_p = top_p, .seed = batch.params.size()});
      }
    }
  }
  for (size_t i = 0; i < batch.params.size(); ++i) {
    batch.rows.push_back({.logits_row = i < batch.params.size() / 2 ? 0 : 1,
                          .params = &batch.params[i],
                          .top_logprobs = 20});
  }
  const auto cpu = MakeCpuSampler(pool_, AvailableCpuIsas().front(), vocab);
  std::vector<SampledToken> got(batch.rows.size()), want(batch.rows.size());
  DeviceMatrix logits = batch.logits();
  logits.rows = 2;
  sampler->Sample(logits, batch.rows, absl::MakeSpan(got));
  cpu->Sample(logits, batch.rows, absl::MakeSpan(want));
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(got[i].token, want[i].token) << i;
    ExpectSame(got[i].logprobs, want[i].logprobs);
  }
}

// Law: whatever the tiles are, wherever rows begin, whatever order threads run in.
TEST_F(CudaSamplerTest, ARowsTokenDependsOnThatRowAlone) {
  std::mt19937_64 random(14);
  const int64_t vocab = 333;
  Batch batch = RandomBatch(random, vocab, 40, 0, 0);
  Batch moved = batch;
  moved.stride = vocab + 2;
  moved.offset = 3;
  moved.storage.assign(moved.offset + 40 * moved.stride, 0.0F);
  for (int64_t row = 0; row < 40; ++row) {
    std::copy_n(batch.storage.begin() + row * batch.stride, vocab,
                moved.storage.begin() + moved.offset + row * moved.stride);
  }
  const std::vector<SampledToken> want = Draws(*MakeEmulated(vocab), batch);
  const auto expect_same = [&](const std::vector<SampledToken>& got) {
    for (size_t i = 0; i < want.size(); ++i) {
      EXPECT_EQ(got[i].token, want[i].token) << i;
      ExpectSame(got[i].logprobs, want[i].logprobs);
    }
  };
  expect_same(Draws(*MakeEmulated(vocab, {}, /*max_rows=*/1), batch));
  expect_same(
      Draws(*MakeEmulated(vocab, {.seed = 5, .resident_blocks = 3}, /*max_rows=*/7), moved));
}

TEST_F(CudaSamplerTest, ScoresWhatTheCpuScores) {
  std::mt19937_64 random(15);
  for (int64_t vocab : {1, 5, 300, 2000}) {
    Batch batch = RandomBatch(random, vocab, 30, 1, 1);
    std::vector<TokenId> targets(30);
    for (TokenId& target : targets) target = static_cast<TokenId>(random() % vocab);
    const auto cpu = MakeCpuSampler(pool_, AvailableCpuIsas().front(), vocab);
    const auto sampler = MakeEmulated(vocab, {}, /*max_rows=*/8);
    for (int32_t top : {0, 1, 20}) {
      std::vector<TokenLogprobs> got(30), want(30);
      sampler->Score(batch.logits(), targets, top, absl::MakeSpan(got));
      cpu->Score(batch.logits(), targets, top, absl::MakeSpan(want));
      for (size_t i = 0; i < want.size(); ++i) ExpectSame(got[i], want[i]);
    }
  }
}

TEST_F(CudaSamplerTest, NoRowsAreNoWork) {
  const auto sampler = MakeEmulated(10);
  std::vector<float> logits(10, 0.0F);
  sampler->Sample(View(logits, 10), {}, {});
  sampler->Score(View(logits, 10), {}, 1, {});
}

TEST_F(CudaSamplerTest, MemoryThatIsNotToBeHadIsRefused) {
  EmulatedMemory memory(1 << 20);
  EmulatedQueue queue;
  const auto refused = MakeCudaSampler(queue, memory, {.vocab_size = 100000});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace quire
