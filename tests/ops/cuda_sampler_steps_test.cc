// Sequences that draw step by step, whose penalties' counts stay on the device: emulated.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "gtest/gtest.h"
#include "ops/cuda/cuda_sampler.h"
#include "ops/cuda/sampler_args.h"
#include "ops/cuda/sampler_records.h"
#include "ops/reference/reference_sampler.h"
#include "tests/ops/sampler_batches.h"
#include "tests/ops/sampler_suite.h"
#include "tests/testing/emulated_matrix.h"

namespace quire {
namespace {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SamplerTest);  // cuda_sampler_test has them

using ::quire::emulation::EmulatedMemory;
using ::quire::emulation::EmulatedQueue;
using ::quire::emulation::EmulationOptions;
using ::quire::testing::EmulatedMatrix;

class CountingQueue : public EmulatedQueue {
 public:
  using EmulatedQueue::EmulatedQueue;
  void CopyToDevice(void* device, const void* host, size_t bytes) override {
    bytes_sent_ += bytes;
    EmulatedQueue::CopyToDevice(device, host, bytes);
  }
  size_t bytes_sent() const { return bytes_sent_; }

 private:
  size_t bytes_sent_ = 0;
};

// One that draws in some steps and rests in others.
struct Drawer {
  uint64_t id = 0;
  uint32_t index = 0;
  SamplingParams params;
  std::vector<TokenId> prompt, output, banned;
};

// Batches overlap: each begins before the one before was collected, and reads its tokens.
class Pipeline {
 public:
  Pipeline(int64_t vocab, const CudaSamplerOptions& options, const EmulationOptions& emulation)
      : vocab_(vocab),
        queue_(emulation),
        sampler_(MakeCudaSampler(queue_, memory_, options).value()) {}

  // The drawers' tokens are the reference's, and in their outputs one step later. Neighbours of the
  // same prompt and no output share a row of logits. Returns who got none in the step before.
  std::vector<Drawer*> Step(std::mt19937_64& random, const std::vector<Drawer*>& drawers) {
    auto step = std::make_unique<Work>();
    const auto count = static_cast<int64_t>(drawers.size());
    for (int64_t i = 0; i < std::max<int64_t>(count, 1); ++i) {
      const std::vector<float> logits = RandomLogits(random, vocab_);
      step->logits.insert(step->logits.end(), logits.begin(), logits.end());
    }
    step->memory = std::make_unique<EmulatedMatrix>("logits", View(step->logits, vocab_),
                                                    EmulatedMatrix::kInput);
    step->drawers = drawers;
    step->drawn.resize(count);
    for (int64_t i = 0; i < count; ++i) step->rows.push_back(RowOf(*drawers[i], i));
    for (int64_t i = 1; i < count; ++i) {
      const Drawer &before = *drawers[i - 1], &drawer = *drawers[i];
      if (before.prompt == drawer.prompt && before.output.empty() && drawer.output.empty()) {
        step->rows[i].logits_row = step->rows[i - 1].logits_row;
      }
    }
    step->slot = step_ == nullptr ? 0 : 1 - step_->slot;
    sampler_->BeginBatch(step->slot);
    sampler_->slot(step->slot)
        .Sample(View(step->logits, vocab_), step->rows, absl::MakeSpan(step->drawn));
    step->mark = queue_.SetMark();
    std::swap(step_, step);
    return step == nullptr ? std::vector<Drawer*>() : Collect(*step);
  }

  void Finish() { Collect(*std::exchange(step_, nullptr)); }

  size_t bytes_sent() const { return queue_.bytes_sent(); }

 private:
  struct Work {
    std::vector<float> logits;
    std::unique_ptr<EmulatedMatrix> memory;
    std::vector<Drawer*> drawers;
    std::vector<SampleRow> rows;
    std::vector<SampledToken> drawn;
    int slot = 0;
    DeviceQueue::Mark mark = 0;
  };

  SampleRow RowOf(const Drawer& drawer, int64_t logits_row) const {
    SampleRow row{.logits_row = logits_row,
                  .params = &drawer.params,
                  .sequence_index = drawer.index,
                  .output_position = drawer.output.size(),
                  .prompt = drawer.prompt,
                  .output = drawer.output,
                  .banned = drawer.banned,
                  .sequence = drawer.id};
    for (size_t i = 0; step_ != nullptr && i < step_->drawers.size(); ++i) {
      if (step_->drawers[i] != &drawer) continue;
      row.pending = static_cast<int32_t>(i);
      ++row.output_position;
    }
    return row;
  }

  // The step before it is in the outputs.
  std::vector<Drawer*> Collect(Work& step) {
    queue_.Await(step.mark);
    sampler_->Collect(step.slot);
    std::vector<Drawer*> failed;
    for (size_t i = 0; i < step.rows.size(); ++i) {
      Drawer& drawer = *step.drawers[i];
      SampleRow& row = step.rows[i];
      row.output = drawer.output;
      row.pending.reset();
    }
    std::vector<SampledToken> want(step.rows.size());
    MakeReferenceSampler()->Sample(View(step.logits, vocab_), step.rows, absl::MakeSpan(want));
    for (size_t i = 0; i < step.rows.size(); ++i) {
      Drawer& drawer = *step.drawers[i];
      EXPECT_EQ(step.drawn[i].token, want[i].token)
          << "sequence " << drawer.id << " with " << drawer.output.size() << " tokens";
      if (want[i].token == kNoToken) {
        failed.push_back(&drawer);
      } else {
        drawer.output.push_back(want[i].token);
      }
    }
    return failed;
  }

  int64_t vocab_;
  EmulatedMemory memory_;
  CountingQueue queue_;
  std::unique_ptr<CudaSampler> sampler_;
  std::unique_ptr<Work> step_;  // not collected
};

SamplingParams Penalties(std::mt19937_64& random, int64_t vocab) {
  SamplingParams params = RandomParams(random, vocab);
  params.repetition_penalty = random() % 3 == 0 ? 1.0F : 1.7F;
  params.frequency_penalty = random() % 3 == 0 ? 0.0F : 0.6F;
  params.presence_penalty = random() % 2 == 0 ? 0.0F : -0.8F;
  if (random() % 6 == 0) {  // a row that edits nothing, or biases alone
    params.repetition_penalty = 1.0F;
    params.frequency_penalty = params.presence_penalty = 0.0F;
  }
  if (random() % 2 == 0) params.logit_bias.clear();
  return params;
}

class Drawers {
 public:
  Drawers(uint32_t seed, int64_t vocab) : random_(seed), vocab_(vocab) {}

  Drawer Make() {
    if (forks_left_ == 0) {
      forks_left_ = random_() % 4;
      fork_ = {.params = Penalties(random_, vocab_), .prompt = RandomIds(random_, vocab_, 20)};
      if (random_() % 3 == 0)
        fork_.banned = RandomIds(random_, vocab_, std::min<int64_t>(vocab_, 2));
    } else {
      --forks_left_;
      ++fork_.index;
    }
    fork_.id = random_() % 7 == 0 ? 0 : ++made_;
    return fork_;
  }

  // Some of them, in any order, but for those that end.
  std::vector<Drawer*> Pick(std::vector<Drawer>& drawers, const std::set<Drawer*>& ending) {
    std::vector<Drawer*> picked;
    for (Drawer& drawer : drawers) {
      if (random_() % 4 != 0 && ending.count(&drawer) == 0) picked.push_back(&drawer);
    }
    if (random_() % 2 == 0) std::shuffle(picked.begin(), picked.end(), random_);
    return picked;
  }

  std::mt19937_64& random() { return random_; }

 private:
  std::mt19937_64 random_;
  int64_t vocab_;
  uint64_t made_ = 0;
  uint64_t forks_left_ = 0;
  Drawer fork_;
};

// Law: whatever is known of a sequence on the device, its tokens are those of its own row.
TEST(CudaSamplerStepsTest, SequencesDrawWhatTheReferenceDraws) {
  for (const int64_t vocab : {6, 61, 300, 8200}) {  // of several pieces, and so few that ids repeat
    for (const int64_t penalty_rows : {3, 5, 40}) {
      SCOPED_TRACE(absl::StrCat(vocab, " ids, ", penalty_rows, " rows"));
      if (vocab == 8200 && penalty_rows != 5) continue;
      const auto seed = static_cast<uint32_t>(vocab + penalty_rows);
      Drawers make(seed, vocab);
      Pipeline pipeline(vocab,
                        {.vocab_size = vocab,
                         .max_rows = 7,
                         .max_edited_rows = 3,
                         .max_edits = 64,
                         .penalty_rows = penalty_rows,
                         .slots = 2,
                         .max_draws = 30},
                        {.seed = seed % 2});
      std::vector<Drawer> drawers;
      for (int i = 0; i < 9; ++i) drawers.push_back(make.Make());
      std::set<Drawer*> ending;
      for (int step = 0; step < (vocab < 1000 ? 15 : 8); ++step) {
        const std::vector<Drawer*> failed =
            pipeline.Step(make.random(), make.Pick(drawers, ending));
        // No batch under way knows them any more.
        for (Drawer* drawer : ending) *drawer = make.Make();
        std::set<Drawer*> next(failed.begin(), failed.end());
        if (step % 3 == 0) next.insert(&drawers[make.random()() % drawers.size()]);
        for (Drawer* drawer : std::exchange(ending, std::move(next))) ending.erase(drawer);
      }
      pipeline.Finish();
    }
  }
}

TEST(CudaSamplerStepsTest, AStepOfAKnownSequenceSendsAsMuchHoweverLongItIs) {
  const int64_t vocab = 500;
  std::mt19937_64 random(5);
  Drawer drawer{.id = 1, .params = {.repetition_penalty = 1.2F, .frequency_penalty = 0.5F}};
  for (TokenId id = 0; id < 400; ++id) drawer.prompt.push_back(id);
  Pipeline pipeline(vocab, {.vocab_size = vocab, .slots = 2, .max_draws = 4}, {});
  auto sent = [&, before = size_t{0}]() mutable {
    pipeline.Step(random, {&drawer});
    return pipeline.bytes_sent() - std::exchange(before, pipeline.bytes_sent());
  };
  EXPECT_GT(sent(), 400 * sizeof(LogitEdit));
  const size_t second = sent();
  EXPECT_LE(second, 128U);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(sent(), second) << i;
  pipeline.Finish();
  EXPECT_EQ(drawer.output.size(), 32U);
  // What was drawn last is told by the host.
  EXPECT_EQ(sent(), second + RecordBytes<LogitEdit>(1));
  pipeline.Finish();
}

TEST(CudaSamplerStepsTest, ASequenceMayDrawTwiceInABatch) {
  const int64_t vocab = 50;
  std::mt19937_64 random(6);
  EmulatedMemory memory;
  EmulatedQueue queue;
  const auto sampler = MakeCudaSampler(queue, memory, {.vocab_size = vocab}).value();
  Batch batch = RandomBatch(random, vocab, 6, 0, 0);
  const EmulatedMatrix logits("logits", batch.logits(), EmulatedMatrix::kInput);
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    batch.rows[i].sequence = 1 + i % 2;
    batch.rows[i].prompt = batch.prompts[0];
    batch.outputs[0].push_back(static_cast<TokenId>(i));
    batch.params[i].repetition_penalty = 1.5F;
    batch.params[i].frequency_penalty = 0.5F;
  }
  for (size_t i = 0; i < batch.rows.size(); ++i) {  // shorter and longer ones
    batch.rows[i].output = absl::MakeConstSpan(batch.outputs[0]).subspan(0, i % 3 * 2);
  }
  ExpectCpuDraws(*sampler, batch);
}

TEST(CudaSamplerStepsTest, StepsWithoutOverlapDrawWhatTheCpuDraws) {
  std::mt19937_64 random(7);
  for (const int64_t vocab : {5, 90, 1200}) {
    for (const int64_t rows : {8, 40}) {  // more sequences than penalty rows, too
      EmulatedMemory memory;
      EmulatedQueue queue({.seed = static_cast<uint32_t>(rows)});
      const auto sampler = MakeCudaSampler(queue, memory, {.vocab_size = vocab}).value();
      Batch batch = RandomBatch(random, vocab, rows, 0, 0);
      const EmulatedMatrix logits("logits", batch.logits(), EmulatedMatrix::kInput);
      ExpectCpuDrawsOfSteps(*sampler, batch, 5);
    }
  }
}

}  // namespace
}  // namespace quire
