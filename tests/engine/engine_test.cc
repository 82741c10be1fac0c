// The engine's threads and queues, on an executor that draws tokens from nothing.
#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "core/steady_time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/sampling_math.h"
#include "tests/testing/engine_client.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

constexpr TokenId kVocabulary = 1000;

TokenId TokenOf(const SampleRow& row) {
  return static_cast<TokenId>(
      RandomBits(row.params->seed, row.sequence_index, row.output_position) % kVocabulary);
}

// Draws a pure function of the request; each batch waits for the gate, if it is shut.
class FakeExecutor : public Executor {
 public:
  struct Gate {
    std::mutex mutex;
    std::condition_variable changed;
    bool open = true;
    int64_t batches = 0;
    absl::Duration step_time;
    void Set(bool is_open) {
      const std::lock_guard<std::mutex> lock(mutex);
      open = is_open;
      changed.notify_all();
    }
    void AwaitBatch() {
      std::unique_lock<std::mutex> lock(mutex);
      changed.wait(lock, [&] { return batches > 0; });
    }
  };
  explicit FakeExecutor(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {}

  void Submit(const StepBatch& batch) override {
    StepResult result;
    for (const SampleRow& row : batch.samples) {
      result.samples.push_back({.token = TokenOf(row)});
      // A sequence has a number of its own, and draws each of its tokens once.
      EXPECT_GT(row.sequence, 0U);
      EXPECT_EQ(row.output_position, drawn_[row.sequence]++) << row.sequence;
    }
    result.prompt_logprobs.resize(batch.scored_rows.size());
    results_.push_back(std::move(result));
    const std::lock_guard<std::mutex> lock(gate_->mutex);
    ++gate_->batches;
    gate_->changed.notify_all();
  }
  const StepResult& Wait() override {
    std::unique_lock<std::mutex> lock(gate_->mutex);
    gate_->changed.wait(lock, [&] { return gate_->open; });
    if (gate_->step_time > absl::ZeroDuration()) absl::SleepFor(gate_->step_time);
    taken_ = std::move(results_.front());
    results_.erase(results_.begin());
    return taken_;
  }

 private:
  std::shared_ptr<Gate> gate_;
  std::map<uint64_t, uint64_t> drawn_;  // tokens by sequence
  std::vector<StepResult> results_;
  StepResult taken_;
};

class EngineTest : public ::testing::Test {
 protected:
  void Make(EngineConfig config) {
    config.kv.block_tokens = 16;
    if (config.kv.groups.empty()) config.kv.groups = {{.window = 0, .num_blocks = 256}};
    config.rope_rows.base_rows = config.scheduler.context_tokens;
    engine_ = std::make_unique<Engine>(config, std::make_unique<FakeExecutor>(gate_));
  }
  void SetUp() override { Make({.scheduler = {.context_tokens = 2048}}); }

  static Request Prompt(int64_t length, int64_t max_new, uint64_t seed = 1) {
    Request request;
    request.prompt.assign(length, 5);
    request.stopping.max_new_tokens = max_new;
    request.sampling.seed = seed;
    return request;
  }
  void ExpectAllBlocksFree() {
    ASSERT_TRUE(engine_->AwaitIdle(SteadyNow() + absl::Seconds(20)));
    for (const KvGroupStats& group : engine_->stats().kv) {
      EXPECT_EQ(group.referenced, 0);
      EXPECT_EQ(group.free + group.cached, group.num_blocks);
    }
  }

  std::shared_ptr<FakeExecutor::Gate> gate_ = std::make_shared<FakeExecutor::Gate>();
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineTest, ARequestGetsItsTokensInOrderAndOneFinish) {
  const testing::Outcome outcome = testing::Run(*engine_, Prompt(10, 50));
  ASSERT_EQ(outcome.sequences[0].tokens.size(), 50U);
  EXPECT_EQ(outcome.sequences[0].finish->reason, FinishReason::kMaxTokens);
  for (uint64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(outcome.sequences[0].tokens[i],
              static_cast<TokenId>(RandomBits(1, 0, i) % kVocabulary));
  }
  ExpectAllBlocksFree();
}

TEST_F(EngineTest, WhoeverReadsTheLastEventFindsItsBlocksFree) {
  int referenced = -1;
  const auto submission = engine_->Submit(std::make_shared<const Request>(Prompt(10, 1)), [&] {
    referenced = engine_->stats().kv[0].referenced;  // the first event is the last
  });
  ASSERT_TRUE(submission.ok()) << submission.status();
  ExpectAllBlocksFree();
  EXPECT_EQ(referenced, 0);
}

TEST_F(EngineTest, AFullQueueRefusesAndSaysHowFull) {
  Make({.scheduler = {.max_num_sequences = 1, .context_tokens = 2048}, .max_queue = 2});
  gate_->Set(false);
  testing::Call running(*engine_, Prompt(10, 1000));
  gate_->AwaitBatch();  // it has left the queue
  testing::Call first(*engine_, Prompt(10, 1));
  testing::Call second(*engine_, Prompt(10, 1));
  const auto refused = engine_->Submit(std::make_shared<const Request>(Prompt(10, 1)), [] {});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("2 requests wait, the limit is 2 (--max-queue)"));
  gate_->Set(true);
  running.Cancel();
  running.AwaitEnd();
  first.AwaitEnd();
  second.AwaitEnd();
  ExpectAllBlocksFree();
}

TEST_F(EngineTest, RequestsThatFreeSlotsWillTakeDoNotCountAsQueued) {
  Make({.scheduler = {.max_num_sequences = 4, .context_tokens = 2048}, .max_queue = 1});
  gate_->Set(false);
  testing::Call running(*engine_, Prompt(10, 1));
  gate_->AwaitBatch();  // until the step ends nothing is read
  testing::Call first(*engine_, Prompt(10, 1));
  testing::Call second(*engine_, Prompt(10, 1));
  testing::Call third(*engine_, Prompt(10, 1));
  testing::Call waiting(*engine_, Prompt(10, 1));
  const auto refused = engine_->Submit(std::make_shared<const Request>(Prompt(10, 1)), [] {});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  gate_->Set(true);
  for (testing::Call* call : {&running, &first, &second, &third, &waiting}) call->AwaitEnd();
  ExpectAllBlocksFree();
}

TEST_F(EngineTest, WhatCanNeverFitIsRefusedAtOnce) {
  const auto refused = engine_->Submit(std::make_shared<const Request>(Prompt(2048, 1)), [] {});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kOutOfRange);
}

TEST_F(EngineTest, CancelEndsARunningRequestAndFreesItsBlocks) {
  gate_->step_time = absl::Milliseconds(1);
  testing::Call call(*engine_, Prompt(10, 2000));
  call.AwaitTokens(3);
  call.Cancel();
  EXPECT_EQ(call.AwaitEnd().sequences[0].finish->reason, FinishReason::kCancelled);
  ExpectAllBlocksFree();
}

TEST_F(EngineTest, AReaderThatStallsPausesOnlyItself) {
  testing::Call stalled(*engine_, Prompt(10, 2000, 1));
  const testing::Outcome other = testing::Run(*engine_, Prompt(10, 1500, 2));
  EXPECT_EQ(other.sequences[0].tokens.size(), 1500U);
  while (engine_->stats().scheduler.running > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(engine_->stats().scheduler.paused, 1);
  // It reads again and gets everything, once.
  const testing::Outcome late = stalled.AwaitEnd();
  EXPECT_EQ(late.sequences[0].tokens.size(), 2000U);
  EXPECT_EQ(late.sequences[0].finish->reason, FinishReason::kMaxTokens);
}

TEST_F(EngineTest, AReaderThatStallsForTooLongLosesItsRequest) {
  Make({.scheduler = {.context_tokens = 2048, .stall_limit = absl::Milliseconds(50)}});
  testing::Call stalled(*engine_, Prompt(10, 2000));
  ExpectAllBlocksFree();
  EXPECT_EQ(stalled.AwaitEnd().sequences[0].finish->status.code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(EngineTest, ADeadlineStrikesAnIdleEngineToo) {
  testing::Call stalled(*engine_, Prompt(10, 2000));  // pauses: nothing is left to compute
  Request late = Prompt(10, 2000);
  late.deadline = SteadyNow() + absl::Milliseconds(100);
  testing::Call unread(*engine_, late);
  while (engine_->stats().scheduler.paused < 2) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  while (engine_->stats().scheduler.paused == 2) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(unread.AwaitEnd().sequences[0].finish->status.code(),
            absl::StatusCode::kDeadlineExceeded);
  stalled.Cancel();
  stalled.AwaitEnd();
}

TEST_F(EngineTest, DrainingRefusesNewRequestsAndLetsLiveOnesEnd) {
  gate_->step_time = absl::Milliseconds(1);
  testing::Call live(*engine_, Prompt(10, 50));
  engine_->BeginDrain();
  const auto refused = engine_->Submit(std::make_shared<const Request>(Prompt(10, 1)), [] {});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(engine_->AwaitIdle(SteadyNow() + absl::Seconds(20)));
  EXPECT_EQ(live.AwaitEnd().sequences[0].tokens.size(), 50U);
}

TEST_F(EngineTest, WhatStillLivesWhenTheEngineGoesEndsWithUnavailable) {
  gate_->step_time = absl::Milliseconds(1);
  testing::Call running(*engine_, Prompt(10, 2000));
  running.AwaitTokens(2);
  testing::Call queued(*engine_, Prompt(10, 2000));
  engine_.reset();
  EXPECT_EQ(running.AwaitEnd().sequences[0].finish->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(queued.AwaitEnd().sequences[0].finish->status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(EngineTest, EstimateAnswersWithoutRunningAnything) {
  std::promise<FitReport> answer;
  ASSERT_TRUE(engine_
                  ->Estimate(std::make_shared<const Request>(Prompt(20, 12)),
                             [&](const FitReport& report) { answer.set_value(report); })
                  .ok());
  const FitReport report = answer.get_future().get();
  EXPECT_EQ(report.blocks, std::vector<int64_t>{2});
  EXPECT_TRUE(report.fits_now);
  EXPECT_EQ(engine_->stats().steps, 0);
}

TEST_F(EngineTest, ManyThreadsSubmittingAndCancellingLeaveEveryBlockFree) {
  Make({.scheduler = {.max_batch_tokens = 64, .max_num_sequences = 16, .context_tokens = 512},
        .kv = {.groups = {{.window = 0, .num_blocks = 40}, {.window = 64, .num_blocks = 12}}}});
  std::vector<std::thread> clients;
  for (uint64_t client = 0; client < 8; ++client) {
    clients.emplace_back([&, client] {
      std::mt19937_64 random(client);
      for (int i = 0; i < 40; ++i) {
        Request request = Prompt(1 + random() % 100, 1 + random() % 60, random());
        request.num_sequences = 1 + random() % 3;
        request.priority = static_cast<int32_t>(random() % 3);
        request.tenant = std::string(1, static_cast<char>('a' + random() % 3));
        testing::Call call(*engine_, request);
        if (random() % 3 == 0) {
          call.AwaitTokens(random() % 10);
          call.Cancel();
        }
        const testing::Outcome& outcome = call.AwaitEnd();
        for (size_t index = 0; index < outcome.sequences.size(); ++index) {
          const auto& tokens = outcome.sequences[index].tokens;
          for (size_t k = 0; k < tokens.size(); ++k) {
            ASSERT_EQ(tokens[k], static_cast<TokenId>(RandomBits(request.sampling.seed, index, k) %
                                                      kVocabulary));
          }
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  ExpectAllBlocksFree();
}

}  // namespace
}  // namespace quire
