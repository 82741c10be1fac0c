// The host's part of the CUDA sampler allocates nothing once it is warm. The launch functions are
// this test's: what the emulation allocates does not count.
#include <cstdint>
#include <memory>
#include <vector>

#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "core/cuda/queue_launcher.cuh"
#include "gtest/gtest.h"
#include "ops/cuda/cuda_sampler.h"
#include "ops/cuda/draw.cuh"
#include "ops/cuda/edit_logits.cuh"
#include "ops/cuda/launch_sampler.h"
#include "ops/cuda/score.cuh"
#include "tests/testing/allocations.h"
#include "tests/testing/emulated_matrix.h"

namespace quire {
namespace {

using ::quire::testing::Allocations;

int64_t emulation_allocations = 0;

template <typename Launch>
void Uncounted(DeviceQueue& queue, Launch launch) {
  const int64_t before = Allocations();
  cuda_emulated::QueueLauncher launcher(queue);
  launch(launcher);
  emulation_allocations += Allocations() - before;
}

// Work that waits for its turn is kept: the emulation's own business.
class UncountedQueue : public emulation::EmulatedQueue {
 public:
  void CopyToDevice(void* device, const void* host, size_t bytes) override {
    const int64_t before = Allocations();
    EmulatedQueue::CopyToDevice(device, host, bytes);
    emulation_allocations += Allocations() - before;
  }
  void CopyToHost(void* host, const void* device, size_t bytes) override {
    const int64_t before = Allocations();
    EmulatedQueue::CopyToHost(host, device, bytes);
    emulation_allocations += Allocations() - before;
  }
  void Await(Mark mark) override {
    const int64_t before = Allocations();
    EmulatedQueue::Await(mark);
    emulation_allocations += Allocations() - before;
  }
};

}  // namespace

namespace cuda {

void EditLogits(DeviceQueue& queue, const EditLogitsArgs& args) {
  Uncounted(queue, [&](auto& launcher) { LaunchEditLogits(launcher, args); });
}
void Draw(DeviceQueue& queue, const DrawArgs& args) {
  Uncounted(queue, [&](auto& launcher) { LaunchDraw(launcher, args); });
}
void Score(DeviceQueue& queue, const ScoreArgs& args) {
  Uncounted(queue, [&](auto& launcher) { LaunchScore(launcher, args); });
}

}  // namespace cuda

namespace {

TEST(CudaSamplerAllocationTest, SamplingAndScoringAllocateNothing) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "the sanitizer owns malloc";
  const int64_t vocab = 100, rows = 12;
  emulation::EmulatedMemory memory;
  UncountedQueue queue;
  // Several tiles, by rows and by edits. Sequences take each other's penalty rows.
  const auto sampler = MakeCudaSampler(queue, memory,
                                       {.vocab_size = vocab,
                                        .max_rows = 5,
                                        .max_edited_rows = 2,
                                        .max_edits = 1,
                                        .penalty_rows = 4})
                           .value();
  std::vector<float> logits(rows * vocab);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 7 % 31);
  const DeviceMatrix matrix{logits.data(), DType::kFloat32, rows, vocab, vocab};
  const testing::EmulatedMatrix raw("logits", matrix, testing::EmulatedMatrix::kInput);

  SamplingParams params;
  params.top_k = 10;
  params.top_p = 0.9F;
  params.repetition_penalty = 1.2F;
  params.logit_bias = {{3, 2.0F}, {9, -2.0F}};
  const std::vector<TokenId> text = {1, 5, 5, 9}, banned = {7};
  std::vector<SampleRow> sample_rows;
  for (int64_t i = 0; i < rows; ++i) {
    sample_rows.push_back({.logits_row = i,
                           .params = &params,
                           .prompt = text,
                           .output = text,
                           .banned = banned,
                           .top_logprobs = 5,
                           .sequence = static_cast<uint64_t>(i)});
  }
  const std::vector<TokenId> targets(rows, 4);
  std::vector<SampledToken> drawn(rows);
  std::vector<TokenLogprobs> scored(rows);
  const auto run = [&] {
    sampler->Sample(matrix, sample_rows, absl::MakeSpan(drawn));
    sampler->Score(matrix, targets, 20, absl::MakeSpan(scored));
  };
  run();
  emulation_allocations = 0;
  const int64_t before = Allocations();
  for (int i = 0; i < 20; ++i) run();
  EXPECT_EQ(Allocations() - before - emulation_allocations, 0);
  EXPECT_GT(emulation_allocations, 0);  // the launches were seen
}

}  // namespace
}  // namespace quire
