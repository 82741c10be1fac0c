// The CUDA sampler, its kernels emulated: what every sampler keeps, and that it draws what the
// CPU's does from rows of any kind, in any company.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/thread_pool.h"
#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "core/cuda/emulation/global_memory.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_sampler.h"
#include "ops/cuda/cuda_sampler.h"
#include "ops/cuda/launch_sampler.h"
#include "tests/ops/sampler_batches.h"
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

emulation::GlobalRegion Region(const char* name, const std::vector<int32_t>& numbers) {
  return emulation::GlobalRegion(name, const_cast<int32_t*>(numbers.data()),
                                 static_cast<int64_t>(numbers.size() * sizeof(int32_t)),
                                 emulation::GlobalRegion::ByteState::kWritten);
}

INSTANTIATE_TEST_SUITE_P(
    Emulated, SamplerTest,
    ::testing::Values(TestedSampler{"InOrder", [](int64_t vocab) { return MakeEmulated(vocab); },
                                    40},
                      TestedSampler{"Shuffled",
                                    [](int64_t vocab) {
                                      return MakeEmulated(vocab, {.seed = 3, .resident_blocks = 3});
                                    },
                                    40}),
    SamplerName);

TEST(CudaSamplerTest, DrawsWhatTheCpuDrawsFromSmallRows) {
  std::mt19937_64 random(11);
  for (int64_t vocab = 1; vocab <= 70; ++vocab) {
    const auto sampler = MakeEmulated(vocab, {.seed = static_cast<uint32_t>(vocab % 2)});
    Batch batch = RandomBatch(random, vocab, 25, vocab % 3, vocab % 5);
    ExpectCpuDraws(*sampler, batch);
  }
}

TEST(CudaSamplerTest, DrawsWhatTheCpuDrawsFromLargerRows) {
  std::mt19937_64 random(12);
  for (int64_t vocab : {127, 128, 255, 256, 257, 600, 1023, 1024, 1025, 1999, 2000, 4099}) {
    const auto sampler = MakeEmulated(vocab);
    Batch batch = RandomBatch(random, vocab, 40, vocab % 2, 0);
    ExpectCpuDraws(*sampler, batch);
  }
}

TEST(CudaSamplerTest, DrawsWhatTheCpuDrawsFromAWholeVocabulary) {
  std::mt19937_64 random(13);
  const auto sampler = MakeEmulated(151936, {.detect_races = false});
  Batch batch = RandomBatch(random, 151936, 3, 0, 0);
  batch.rows[0].logits_row = 0;
  batch.params[0] = {.top_k = 50, .top_p = 0.9F, .seed = 5};
  batch.params[1].top_k = 3000;
  ExpectCpuDraws(*sampler, batch);
}

// Ties and neighbouring numbers beyond what a bin's list holds: each level of the selection.
TEST(CudaSamplerTest, CutsInsideOfCrowds) {
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
  ExpectCpuDraws(*sampler, batch);
}

// Law: whatever the tiles are, wherever rows begin, whatever order threads run in.
TEST(CudaSamplerTest, ARowsTokenDependsOnThatRowAlone) {
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

// All tokens are as likely. Random bits that lie on a border belong to the token behind it.
TEST(CudaSamplerTest, AShareOnABorderIsTheNextTokens) {
  for (int64_t vocab : {4, 33, 3000}) {
    EmulatedMemory memory;
    EmulatedQueue queue;
    std::vector<float> logits(vocab, -2.5F);
    const DeviceMatrix matrix = View(logits, vocab);
    const EmulatedMatrix raw("logits", matrix, EmulatedMatrix::kInput);
    std::vector<DrawRow> rows;
    std::vector<int32_t> want;
    for (int64_t token : {int64_t{1}, int64_t{3}, vocab / 32 * 32 - 1, vocab / 32 * 32,
                          vocab / 1024 * 1024, vocab - 1}) {
      if (token <= 0 || token >= vocab) continue;
      // The first bits whose share of V equal weights reaches token weights.
      const auto bits = static_cast<uint64_t>(
          ((static_cast<unsigned __int128>(token) << 64) + vocab - 1) / vocab);
      rows.push_back({.scale = 1.0F, .random_bits = bits});
      rows.push_back({.scale = 1.0F, .random_bits = bits - 1});
      want.push_back(static_cast<int32_t>(token));
      want.push_back(static_cast<int32_t>(token - 1));
    }
    const int64_t count = static_cast<int64_t>(rows.size());
    const DeviceBuffer rows_memory = memory.Allocate(count * sizeof(DrawRow), "rows").value();
    const DeviceBuffer tokens = memory.Allocate(count * sizeof(int32_t), "tokens").value();
    queue.CopyToDevice(rows_memory.data(), rows.data(), count * sizeof(DrawRow));
    cuda::Draw(queue, {.logits = matrix,
                       .rows = {static_cast<const DrawRow*>(rows_memory.data()), count},
                       .tokens = static_cast<int32_t*>(tokens.data())});
    std::vector<int32_t> got(count);
    queue.CopyToHost(got.data(), tokens.data(), count * sizeof(int32_t));
    queue.Wait();
    EXPECT_EQ(got, want) << vocab;
  }
}

TEST(CudaSamplerTest, ScoresWhatTheCpuScores) {
  std::mt19937_64 random(15);
  for (int64_t vocab : {1, 5, 300, 2000}) {
    Batch batch = RandomBatch(random, vocab, 30, 1, 1);
    std::vector<TokenId> targets(30);
    for (TokenId& target : targets) target = static_cast<TokenId>(random() % vocab);
    ThreadPool pool(1);
    const auto cpu = MakeCpuSampler(pool, AvailableCpuIsas().front(), vocab);
    const auto sampler = MakeEmulated(vocab, {}, /*max_rows=*/8);
    for (int32_t top : {0, 1, 20}) {
      std::vector<TokenLogprobs> got(30), want(30);
      sampler->Score(batch.logits(), targets, top, absl::MakeSpan(got));
      cpu->Score(batch.logits(), targets, top, absl::MakeSpan(want));
      for (size_t i = 0; i < want.size(); ++i) ExpectSame(got[i], want[i]);
    }
  }
}

// Law: a batch that begins before the one before has been collected reads its tokens on the device,
// and draws what it would draw if the host had told them.
TEST(CudaSamplerTest, PenaltiesCountATokenThatOnlyTheDeviceKnows) {
  std::mt19937_64 random(16);
  for (const int64_t vocab : {6, 60, 9000}) {  // of several pieces, and so few that ids repeat
    EmulatedMemory memory;
    EmulatedQueue queue({.seed = static_cast<uint32_t>(vocab % 4)});
    const auto sampler = MakeCudaSampler(queue, memory,
                                         {.vocab_size = vocab,
                                          .max_rows = 7,
                                          .max_edited_rows = 3,
                                          .max_edits = 64,
                                          .slots = 2,
                                          .max_draws = 30})
                             .value();
    Batch first = RandomBatch(random, vocab, 30, 0, 0);
    Batch second = RandomBatch(random, vocab, 30, 0, 0);
    const EmulatedMatrix first_memory("first", first.logits(), EmulatedMatrix::kInput);
    const EmulatedMatrix second_memory("second", second.logits(), EmulatedMatrix::kInput);
    for (size_t i = 0; i < second.rows.size(); ++i) {
      second.params[i].frequency_penalty = 1.5F;
      second.params[i].repetition_penalty = i % 2 == 0 ? 1.0F : 3.0F;
      second.rows[i].pending = static_cast<int32_t>(29 - i);
    }
    std::vector<SampledToken> drawn(30), got(30);
    sampler->BeginBatch(0);
    sampler->slot(0).Sample(first.logits(), first.rows, absl::MakeSpan(drawn));
    sampler->BeginBatch(1);
    sampler->slot(1).Sample(second.logits(), second.rows, absl::MakeSpan(got));
    queue.Wait();
    sampler->Collect(0);
    sampler->Collect(1);
    Batch told = second;
    for (size_t i = 0; i < told.rows.size(); ++i) {
      const TokenId token = drawn[29 - i].token;
      if (token != kNoToken) told.outputs[i].push_back(token);
      told.rows[i].output = told.outputs[i];
      told.rows[i].params = &told.params[i];
      told.rows[i].prompt = told.prompts[i];
      told.rows[i].banned = told.bans[i];
      told.rows[i].pending.reset();
    }
    const std::vector<SampledToken> want = Draws(*MakeEmulated(vocab), told);
    for (size_t i = 0; i < want.size(); ++i) EXPECT_EQ(got[i].token, want[i].token) << i;
  }
}

TEST(CudaSamplerTest, IdsAreTakenFromDraws) {
  EmulatedMemory memory;
  EmulatedQueue queue;
  const std::vector<int32_t> sources = {-1, 2, 0, -1, 1}, drawn = {40, -1, 42};
  std::vector<int32_t> ids = {7, 0, 0, 8, 0};
  const emulation::GlobalRegion regions[] = {Region("sources", sources), Region("drawn", drawn),
                                             Region("ids", ids)};
  cuda::TakeDrawn(queue,
                  {.sources = {sources.data(), 5}, .drawn = drawn.data(), .ids = ids.data()});
  queue.Wait();
  EXPECT_EQ(ids, (std::vector<int32_t>{7, 42, 40, 8, 0}));
}

TEST(CudaSamplerTest, NoRowsAreNoWork) {
  const auto sampler = MakeEmulated(10);
  std::vector<float> logits(10, 0.0F);
  sampler->Sample(View(logits, 10), {}, {});
  sampler->Score(View(logits, 10), {}, 1, {});
}

TEST(CudaSamplerTest, MemoryThatIsNotToBeHadIsRefused) {
  EmulatedMemory memory(1 << 20);
  EmulatedQueue queue;
  const auto refused = MakeCudaSampler(queue, memory, {.vocab_size = 100000});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace quire
