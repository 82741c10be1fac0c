// The step allocates nothing once its vectors have grown: Plan, Build, Commit and their events.
// (The kernels have tests of their own.)
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/batch_builder.h"
#include "scheduler/scheduler.h"
#include "tests/testing/allocations.h"

namespace quire {
namespace {

TEST(StepAllocation, DecodeStepsWithinAPageAllocateNothing) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "the sanitizer owns malloc";
  constexpr int kSequences = 64;
  constexpr int kBlockTokens = 64;
  KvManager kv(
      {.block_tokens = kBlockTokens,
       .groups = {{.window = 0, .num_blocks = 400}, {.window = 32, .sinks = 4, .num_blocks = 400}},
       .hash_key = {1, 2}});
  Scheduler scheduler({.max_batch_tokens = 512, .max_num_sequences = kSequences}, &kv);
  BatchBuilder builder(kv, /*depth=*/1,
                       {.seen_positions = 36, .base_rows = 2048, .step_rows = 1024}, 0);
  const absl::Time now = absl::FromUnixSeconds(1);
  for (int i = 0; i < kSequences; ++i) {
    Request request;
    request.prompt.assign(20, static_cast<TokenId>(i));
    request.stopping.max_new_tokens = 200;
    RequestRope rope;  // half of them have rotation rows of the step
    if (i % 2 == 1) rope.choice = {.kind = RopeChoice::Kind::kLinear, .factor = 4};
    scheduler.Add(RequestKey(i), std::make_shared<const Request>(std::move(request)), now, rope);
  }
  std::vector<TokenEvent> events;
  StepResult result;
  const auto step = [&] {
    StepPlan plan = scheduler.Plan(now);
    builder.Build(plan);
    result.samples.resize(plan.samples.size());
    for (SampledToken& sample : result.samples) sample.token = 7;
    const size_t drawn = plan.samples.size();
    scheduler.Commit(std::move(plan), result, now);
    scheduler.TakeEvents(events);
    return drawn;
  };
  // Outputs double their room at 64 tokens; pages of 64 end at 44 and at 108.
  int64_t drawn = 0;
  while (drawn < kSequences * 66) drawn += static_cast<int64_t>(step());
  const int64_t before = testing::Allocations();
  for (int i = 0; i < 30; ++i) ASSERT_EQ(step(), size_t{kSequences});
  EXPECT_EQ(testing::Allocations() - before, 0);
}

}  // namespace
}  // namespace quire
