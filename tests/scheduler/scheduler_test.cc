// The laws of scheduling, one by one. Over 400 lines: a test for each law.
#include "scheduler/scheduler.h"

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/scheduler/fake_device.h"

namespace quire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// One scheduler over pools of one full group, and a clock that moves 1 ms a step.
class SchedulerTest : public testing::Test {
 protected:
  void Make(SchedulerConfig config, int32_t num_blocks, int block_tokens = 4) {
    KvManagerConfig kv{.block_tokens = block_tokens,
                       .groups = {{.window = 0, .num_blocks = num_blocks}},
                       .hash_key = {1, 2}};
    kv_ = std::make_unique<KvManager>(kv);
    scheduler_ = std::make_unique<Scheduler>(config, kv_.get());
    device_ = std::make_unique<FakeDevice>(kv);
  }

  static Request Prompt(int64_t length, std::optional<int64_t> max_new) {
    Request request;
    request.prompt.resize(length);
    for (int64_t i = 0; i < length; ++i) request.prompt[i] = static_cast<TokenId>(i % 7);
    request.stopping.max_new_tokens = max_new;
    return request;
  }

  RequestKey Add(Request request) {
    const RequestKey key(next_key_++);
    request.sampling.seed = 77 + 2 * key.value();
    scheduler_->Add(key, std::make_shared<const Request>(std::move(request)), now_);
    return key;
  }

  StepPlan Plan() {
    now_ += absl::Milliseconds(1);
    StepPlan plan = scheduler_->Plan(now_);
    EXPECT_EQ(device_->Run(plan), 0);
    return plan;
  }
  void Commit(StepPlan plan) {
    const StepResult result = device_->Results(plan);
    scheduler_->Commit(std::move(plan), result, now_);
    scheduler_->CheckInvariants();
    Collect();
  }
  void Collect() {
    std::vector<TokenEvent> events;
    scheduler_->TakeEvents(events);
    for (TokenEvent& event : events) {
      Seen& seen = seen_[{event.request.value(), event.sequence_index}];
      if (event.token) seen.tokens.push_back(event.token->token);
      if (event.finish) {
        seen.finish = event.finish;
        ended_.push_back(event.request.value());
      }
    }
  }
  // One step; the keys whose rows it computed, in row order.
  std::vector<int64_t> Step() {
    StepPlan plan = Plan();
    std::vector<int64_t> keys;
    for (const PlanEntry& entry : plan.entries) keys.push_back(entry.sequence->owner->key.value());
    if (!plan.empty()) Commit(std::move(plan));
    Collect();
    return keys;
  }
  void RunAll() {
    for (int i = 0; scheduler_->HasLiveRequests(); ++i) {
      ASSERT_LT(i, 10000);
      Step();
    }
  }

  struct Seen {
    std::vector<TokenId> tokens;
    std::optional<Finish> finish;
  };
  const Seen& Of(RequestKey key, int index = 0) { return seen_[{key.value(), index}]; }

  std::unique_ptr<KvManager> kv_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<FakeDevice> device_;
  absl::Time now_ = absl::FromUnixSeconds(0);
  int64_t next_key_ = 0;
  std::map<std::pair<int64_t, int>, Seen> seen_;
  std::vector<int64_t> ended_;
};

TEST_F(SchedulerTest, WhatCanNeverFitIsOutOfRangeWithTheNumbers) {
  Make({.context_tokens = 100}, /*num_blocks=*/10);  // the pool holds 40 tokens
  EXPECT_EQ(scheduler_->capacity_tokens(), 40);
  EXPECT_TRUE(scheduler_->CheckFits(Prompt(39, 1)).ok());
  const absl::Status too_long = scheduler_->CheckFits(Prompt(40, 0));
  EXPECT_EQ(too_long.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(too_long.message()), HasSubstr("prompt has 40 tokens; the limit is 39"));
  EXPECT_THAT(std::string(scheduler_->CheckFits(Prompt(30, 11)).message()),
              HasSubstr("prompt (30 tokens) + max_new_tokens (11) = 41 is more than the 40"));
}

TEST_F(SchedulerTest, ARequestThatFillsTheWholePoolRuns) {
  Make({.context_tokens = 100}, 10);
  const RequestKey key = Add(Prompt(39, 1));
  RunAll();
  EXPECT_EQ(Of(key).tokens.size(), 1U);
}

TEST_F(SchedulerTest, UnsetMaxNewTokensEndsAtTheCapacity) {
  Make({.context_tokens = 20}, 10);
  const RequestKey key = Add(Prompt(5, std::nullopt));
  RunAll();
  EXPECT_EQ(Of(key).tokens.size(), 15U);
  EXPECT_EQ(Of(key).finish->reason, FinishReason::kContextLimit);
}

TEST_F(SchedulerTest, DecodesGoFirstAndPrefillTakesWhatTheyLeave) {
  Make({.max_batch_tokens = 6, .max_num_sequences = 4, .context_tokens = 64}, 64);
  Add(Prompt(3, 10));
  Step();
  Add(Prompt(20, 2));
  const StepPlan plan = Plan();
  ASSERT_EQ(plan.entries.size(), 2U);
  EXPECT_EQ(plan.entries[0].kind, RowKind::kGenerated);
  EXPECT_EQ(plan.num_generated_rows, 1);
  EXPECT_EQ(plan.entries[1].end - plan.entries[1].begin, 5);
  EXPECT_EQ(plan.num_rows, 6);
}

TEST_F(SchedulerTest, HigherPrioritiesRunFirstAndPreemptLowerOnesOnly) {
  Make({.max_batch_tokens = 64, .max_num_sequences = 2, .context_tokens = 64}, 16);
  Request low = Prompt(20, 10);
  Request high = Prompt(30, 2);
  high.priority = 1;
  const RequestKey first = Add(low);
  Step();
  const RequestKey equal = Add(low);
  Step();
  const RequestKey urgent = Add(high);
  EXPECT_THAT(Step(), testing::Contains(urgent.value()));
  RunAll();
  EXPECT_EQ(ended_.front(), urgent.value());
  EXPECT_EQ(Of(urgent).finish->usage.preemptions, 0);
  EXPECT_EQ(Of(first).finish->usage.preemptions, 0) << "the newest of the lowest yields first";
  EXPECT_GE(Of(equal).finish->usage.preemptions, 1);
}

TEST_F(SchedulerTest, TenantsOfEqualPriorityShareFairly) {
  Make({.max_batch_tokens = 64, .max_num_sequences = 1, .context_tokens = 64}, 64);
  std::map<int64_t, std::string> tenant_of;
  const auto add = [&](const char* tenant) {
    Request request = Prompt(4, 4);
    request.tenant = tenant;
    tenant_of[Add(request).value()] = tenant;
  };
  for (int i = 0; i < 6; ++i) add("greedy");
  for (int i = 0; i < 3; ++i) add("modest");
  RunAll();
  std::string order;
  for (int64_t key : ended_) order += tenant_of[key][0];
  EXPECT_EQ(order.substr(0, 6), "gmgmgm");
}

TEST_F(SchedulerTest, ForksShareThePromptsRowsAndDrawApart) {
  Make({.max_batch_tokens = 64, .max_num_sequences = 4, .context_tokens = 64}, 64);
  Request request = Prompt(10, 8);
  request.num_sequences = 3;
  const RequestKey key = Add(request);
  StepPlan prefill = Plan();
  EXPECT_EQ(prefill.num_rows, 10);
  ASSERT_EQ(prefill.samples.size(), 3U);
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(prefill.samples[i].sequence->id, i + 1);
  EXPECT_THAT(prefill.logits_rows, ElementsAre(9));
  Commit(std::move(prefill));
  EXPECT_EQ(kv_->pool(0).num_referenced(), 3);
  StepPlan decode = Plan();
  EXPECT_EQ(decode.num_rows, 3);
  EXPECT_EQ(decode.copies.size(), 2U) << "the last holder of the tail writes in place";
  Commit(std::move(decode));
  RunAll();
  EXPECT_NE(Of(key, 0).tokens, Of(key, 1).tokens);
  EXPECT_NE(Of(key, 1).tokens, Of(key, 2).tokens);
}

TEST_F(SchedulerTest, ACancelledRequestsBlocksAreFreeAtOnceOnADepthOfOne) {
  Make({.context_tokens = 64}, 16);
  const RequestKey key = Add(Prompt(30, 10));
  Step();
  EXPECT_EQ(kv_->pool(0).num_referenced(), 8);
  scheduler_->Cancel(key, now_);
  EXPECT_EQ(kv_->pool(0).num_referenced(), 0);
  Collect();
  EXPECT_EQ(Of(key).finish->reason, FinishReason::kCancelled);
  scheduler_->Cancel(key, now_);  // again: nothing
  std::vector<TokenEvent> events;
  scheduler_->TakeEvents(events);
  EXPECT_TRUE(events.empty());
}

TEST_F(SchedulerTest, ACancelledRequestsBlocksOutliveThePlanThatNamesThem) {
  Make({.context_tokens = 64, .pipeline_depth = 2}, 16);
  const RequestKey key = Add(Prompt(30, 10));
  StepPlan first = Plan();
  StepPlan second = Plan();
  EXPECT_EQ(second.entries[0].begin, 30) << "planned before its token is known";
  scheduler_->Cancel(key, now_);
  Commit(std::move(first));
  EXPECT_EQ(kv_->pool(0).num_referenced(), 8);
  Commit(std::move(second));
  EXPECT_EQ(kv_->pool(0).num_referenced(), 0);
}

TEST_F(SchedulerTest, APreemptedSequenceIsRecomputedByTheKindsOfRowsThatMadeIt) {
  Make({.max_batch_tokens = 64, .max_num_sequences = 4, .context_tokens = 64}, 16);
  Request request = Prompt(16, 20);
  request.bypass_prefix_cache = true;
  const RequestKey victim = Add(request);
  for (int i = 0; i < 6; ++i) Step();
  ASSERT_EQ(Of(victim).tokens.size(), 6U);
  Request urgent = Prompt(50, 2);
  urgent.priority = 1;
  Add(urgent);
  while (Of(victim).tokens.size() == 6) {
    StepPlan plan = Plan();
    for (const PlanEntry& entry : plan.entries) {
      if (entry.sequence->owner->key != victim) continue;
      EXPECT_EQ(entry.kind == RowKind::kPrompt, entry.begin < 16);
      EXPECT_EQ(entry.end, entry.begin < 16 ? 16 : 22);
    }
    Commit(std::move(plan));
  }
  RunAll();
  EXPECT_EQ(Of(victim).finish->usage.preemptions, 1);
  EXPECT_EQ(Of(victim).finish->usage.completion_tokens, 20);
}

TEST_F(SchedulerTest, AStalledReaderLosesItsSlotThenItsBlocksThenItsRequest) {
  Make({.max_num_sequences = 1, .context_tokens = 64, .stall_limit = absl::Milliseconds(50)}, 16);
  const RequestKey slow = Add(Prompt(30, 30));
  Step();
  scheduler_->Pause(slow, now_);
  const RequestKey other = Add(Prompt(4, 4));
  EXPECT_THAT(Step(), ElementsAre(other.value())) << "its slot is another's";
  EXPECT_GT(kv_->pool(0).num_referenced(), 7) << "its blocks stay while nobody needs them";
  Request needs_room = Prompt(40, 4);
  needs_room.tenant = "another";  // shares no page
  const RequestKey large = Add(needs_room);
  while (!Of(large).finish) Step();
  while (!Of(slow).finish) Step();
  EXPECT_EQ(Of(slow).finish->status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Of(slow).finish->usage.preemptions, 1);
}

TEST_F(SchedulerTest, AResumedReaderGoesOnWithTheSameTokens) {
  Make({.context_tokens = 64}, 16);
  const RequestKey key = Add(Prompt(10, 12));
  for (int i = 0; i < 4; ++i) Step();
  scheduler_->Pause(key, now_);
  EXPECT_TRUE(Step().empty());
  scheduler_->Resume(key);
  RunAll();
  EXPECT_EQ(Of(key).tokens.size(), 12U);
  EXPECT_EQ(Of(key).finish->usage.preemptions, 0);
}

// Both hold blocks, wait, and lack one: neither runs, so one of them must yield to the other.
TEST_F(SchedulerTest, OfResumedReadersThatFillThePoolTheOldestGetsOn) {
  Make({.max_batch_tokens = 64, .max_num_sequences = 8, .context_tokens = 64}, 5);
  const RequestKey first = Add(Prompt(5, 15));
  Request other = Prompt(7, 13);
  other.tenant = "other";
  const RequestKey second = Add(std::move(other));
  for (int i = 0; i < 4; ++i) Step();  // the first is at the edge of a page, and none is free
  for (RequestKey key : {first, second}) scheduler_->Pause(key, now_);
  for (RequestKey key : {first, second}) scheduler_->Resume(key);
  for (int i = 0; i < 100 && scheduler_->HasLiveRequests(); ++i) EXPECT_FALSE(Step().empty());
  EXPECT_EQ(ended_, (std::vector<int64_t>{first.value(), second.value()}));
}

TEST_F(SchedulerTest, LogitsThatAreNotFiniteFailTheRequestAlone) {
  Make({.max_batch_tokens = 64, .max_num_sequences = 8, .context_tokens = 64}, 20);
  const RequestKey good = Add(Prompt(5, 5));
  for (const bool scored : {false, true}) {
    Request bad = Prompt(6, 5);
    bad.prompt_logprobs = scored;
    bad.sampling.seed = 0;
    scheduler_->Add(RequestKey(100 + scored), std::make_shared<const Request>(std::move(bad)),
                    now_);
  }
  while (scheduler_->HasLiveRequests()) Step();
  for (int64_t key : {100, 101}) {
    const Seen& seen = seen_[{key, 0}];
    EXPECT_EQ(seen.finish->status.code(), absl::StatusCode::kInternal);
    EXPECT_EQ(seen.tokens.size(), key == 100 ? 2U : 0U);
  }
  EXPECT_EQ((seen_[{good.value(), 0}].finish->reason), FinishReason::kMaxTokens);
}

TEST_F(SchedulerTest, DeadlinesFailAndTimeLimitsFinishWaitingAndRunningRequests) {
  Make({.max_num_sequences = 1, .context_tokens = 64}, 32);
  Request limited = Prompt(4, 50);
  limited.stopping.time_limit = absl::Milliseconds(5);
  Request late = Prompt(4, 50);
  late.deadline = now_ + absl::Milliseconds(3);
  const RequestKey running = Add(limited);
  const RequestKey waiting = Add(late);
  EXPECT_EQ(scheduler_->NextExpiry(), late.deadline);
  for (int i = 0; i < 6; ++i) Step();
  EXPECT_EQ(Of(waiting).finish->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Of(running).finish->reason, FinishReason::kTimeLimit);
  EXPECT_EQ(Of(running).tokens.size(), 4U);
  EXPECT_FALSE(scheduler_->HasLiveRequests());
}

TEST_F(SchedulerTest, AStopStringFoundLateCutsTheCountThere) {
  Make({.context_tokens = 64}, 16);
  const RequestKey key = Add(Prompt(4, 30));
  for (int i = 0; i < 6; ++i) Step();
  scheduler_->FinishAt(key, 0, 3, now_);
  Collect();
  EXPECT_EQ(Of(key).finish->reason, FinishReason::kStopString);
  EXPECT_EQ(Of(key).finish->usage.completion_tokens, 3);
  EXPECT_EQ(kv_->pool(0).num_referenced(), 0);
}

TEST_F(SchedulerTest, ZeroNewTokensScoresThePromptAndDrawsNothing) {
  Make({.max_batch_tokens = 64, .context_tokens = 64}, 16);
  Request request = Prompt(9, 0);
  request.prompt_logprobs = true;
  const RequestKey key = Add(request);
  StepPlan plan = Plan();
  EXPECT_TRUE(plan.samples.empty());
  EXPECT_EQ(plan.prompt_logprobs.size(), 8U);
  Commit(std::move(plan));
  EXPECT_EQ(Of(key).finish->reason, FinishReason::kMaxTokens);
}

TEST_F(SchedulerTest, ACachedPrefixLeavesOneRowAtLeast) {
  Make({.max_batch_tokens = 64, .context_tokens = 64}, 16);
  const RequestKey first = Add(Prompt(8, 1));
  RunAll();
  const RequestKey second = Add(Prompt(8, 1));
  EXPECT_EQ(Plan().num_rows, 4) << "8 tokens are two full blocks, of which one may be reused";
  EXPECT_EQ(Of(first).finish->usage.cached_tokens, 0);
  scheduler_->Cancel(second, now_);
  Collect();
  EXPECT_EQ(Of(second).finish->usage.cached_tokens, 4);
}

TEST_F(SchedulerTest, PagesOfGeneratedRowsServeOthersOnlyWhereKernelsAgree) {
  for (bool share : {false, true}) {
    Make({.max_batch_tokens = 64, .context_tokens = 64, .share_generated_blocks = share}, 16);
    seen_.clear();
    const RequestKey first = Add(Prompt(4, 9));
    RunAll();
    Request next = Prompt(4, 1);
    const std::vector<TokenId>& output = Of(first).tokens;
    next.prompt.insert(next.prompt.end(), output.begin(), output.end());
    const RequestKey second = Add(next);
    RunAll();
    EXPECT_EQ(Of(second).finish->usage.cached_tokens, share ? 12 : 4);
  }
}

TEST_F(SchedulerTest, EstimateCountsSharedPromptPagesOnce) {
  Make({.max_num_sequences = 8, .context_tokens = 64}, 16);
  Request request = Prompt(10, 6);
  request.num_sequences = 3;
  const FitReport report = scheduler_->Estimate(request);
  EXPECT_THAT(report.blocks, ElementsAre(2 + 3 * 2));
  EXPECT_TRUE(report.fits_ever);
  EXPECT_TRUE(report.fits_now);
  EXPECT_FALSE(scheduler_->Estimate(Prompt(64, 1)).fits_ever);
  Add(Prompt(50, 10));
  Step();
  EXPECT_FALSE(scheduler_->Estimate(request).fits_now);
}

TEST(TenantShares, IdlenessEarnsNoCreditAndMemoryIsBounded) {
  TenantShares shares;
  TenantShares::Tenant* busy = shares.Enter("busy");
  busy->Charge(1000);
  TenantShares::Tenant* fresh = shares.Enter("new");
  EXPECT_EQ(fresh->served(), 1000);
  shares.Leave(fresh);
  for (int i = 0; i < 3000; ++i) {
    shares.Leave(shares.Enter("tenant" + std::to_string(i)));
  }
  EXPECT_LE(shares.num_tenants(), TenantShares::kMaxIdle + 1);
  EXPECT_EQ(busy->served(), 1000);
}

}  // namespace
}  // namespace quire
