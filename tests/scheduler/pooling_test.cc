// Which rows of an embedding request are pooled, and when.
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/scheduler.h"

namespace quire {
namespace {

// A device whose hidden states are all 1.
class Device {
 public:
  Device(const SchedulerConfig& config, std::vector<KvGroupConfig> groups)
      : kv_({.block_tokens = 4, .groups = std::move(groups), .hash_key = {1, 2}}),
        scheduler_(config, &kv_) {}

  Scheduler& scheduler() { return scheduler_; }

  void Add(int64_t key, int64_t tokens, int32_t priority, std::optional<Pooling> pooling) {
    auto request = std::make_shared<Request>();
    for (int64_t i = 0; i < tokens; ++i) request->prompt.push_back(static_cast<TokenId>(i));
    request->priority = priority;
    request->pooling = pooling;
    request->stopping.max_new_tokens = pooling ? 0 : 4;
    scheduler_.Add(RequestKey(key), request, absl::UnixEpoch());
  }

  StepPlan Plan() { return scheduler_.Plan(absl::UnixEpoch()); }

  // Positions pooled by the plan for request `key`.
  std::vector<int64_t> Run(StepPlan plan, int64_t key) {
    std::vector<int64_t> positions;
    for (const PooledRows& pooled : plan.pooled) {
      pooled.request->pool_sum[0] += static_cast<float>(pooled.count);
      if (pooled.request->key != RequestKey(key)) continue;
      for (const PlanEntry& entry : plan.entries) {
        const int64_t offset = pooled.first_row - entry.first_row;
        if (entry.sequence->owner != pooled.request || offset < 0) continue;
        EXPECT_LE(entry.begin + offset + pooled.count, entry.end);
        for (int i = 0; i < pooled.count; ++i) positions.push_back(entry.begin + offset + i);
      }
    }
    StepResult result;
    result.samples.resize(plan.samples.size());
    for (SampledToken& sample : result.samples) sample.token = 7;
    scheduler_.Commit(std::move(plan), result, absl::UnixEpoch());
    scheduler_.CheckInvariants();
    return positions;
  }

  // The end of the request, if it has ended since the last call.
  std::optional<Finish> Ended(int64_t key) {
    std::vector<TokenEvent> events;
    scheduler_.TakeEvents(events);
    for (const TokenEvent& event : events) {
      if (event.request == RequestKey(key) && event.finish) return event.finish;
    }
    return std::nullopt;
  }

 private:
  KvManager kv_;
  Scheduler scheduler_;
};

constexpr SchedulerConfig kConfig = {
    .max_batch_tokens = 8, .max_num_sequences = 4, .context_tokens = 64, .embedding_width = 1};

TEST(PooledRows, APreemptedMeanTakesEachRowOnceAndInOrder) {
  Device device(kConfig, {{.window = 0, .num_blocks = 10}});
  device.Add(1, 34, 0, Pooling::kMean);  // 9 of the 10 blocks
  std::vector<int64_t> pooled;
  const auto step = [&] {
    for (int64_t position : device.Run(device.Plan(), 1)) pooled.push_back(position);
  };
  step();
  step();
  device.Add(2, 8, 1, std::nullopt);  // urgent: it takes the blocks
  std::optional<Finish> finish;
  for (int i = 0; i < 40 && !finish; ++i) {
    step();
    finish = device.Ended(1);
  }
  ASSERT_TRUE(finish);
  EXPECT_EQ(finish->usage.preemptions, 1);
  std::vector<int64_t> want;
  for (int64_t position = 0; position < 34; ++position) want.push_back(position);
  EXPECT_EQ(pooled, want);
  EXPECT_EQ(finish->embedding, std::vector<float>{1});  // the mean of ones
}

TEST(PooledRows, FirstAndLastTakeOneRow) {
  Device device(kConfig, {{.window = 0, .num_blocks = 10}});
  const std::pair<Pooling, int64_t> cases[] = {{Pooling::kCls, 0}, {Pooling::kLast, 20}};
  for (const auto& [pooling, row] : cases) {
    const int64_t key = row + 1;
    device.Add(key, 21, 0, pooling);
    std::vector<int64_t> pooled;
    std::optional<Finish> finish;
    while (!finish) {
      for (int64_t position : device.Run(device.Plan(), key)) pooled.push_back(position);
      finish = device.Ended(key);
    }
    EXPECT_EQ(pooled, std::vector<int64_t>{row});
    EXPECT_EQ(finish->embedding, std::vector<float>{1});
  }
}

// Without a cache: first come, first served, none of them cut.
TEST(PooledRows, AWholePromptWaitsForAStepWithRoomForAllOfIt) {
  SchedulerConfig config = kConfig;
  config.whole_prompts = true;
  Device device(config, {});
  const int64_t lengths[] = {5, 3, 8, 2, 7, 1};
  for (int64_t i = 0; i < 6; ++i) device.Add(i, lengths[i], 0, Pooling::kLast);
  std::vector<std::vector<int64_t>> steps;
  while (device.scheduler().HasLiveRequests()) {
    StepPlan plan = device.Plan();
    ASSERT_FALSE(plan.empty());
    steps.emplace_back();
    for (const PlanEntry& entry : plan.entries) {
      EXPECT_EQ(entry.begin, 0);
      steps.back().push_back(entry.end);
    }
    device.Run(std::move(plan), 0);
  }
  EXPECT_EQ(steps, (std::vector<std::vector<int64_t>>{{5, 3}, {8}, {2}, {7, 1}}));
  Request longer;
  longer.prompt.assign(9, 1);
  longer.pooling = Pooling::kLast;
  EXPECT_EQ(device.scheduler().CheckFits(longer).code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace quire
