// Drives the real scheduler and block pools with a fake model through random steps and holds the
// laws of scheduler.h after each. A failure prints its seed; QUIRE_SIM_SEED=<seed> runs that
// scenario alone. Over 400 lines: one simulation and the laws that it holds.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "scheduler/scheduler.h"
#include "tests/scheduler/fake_device.h"

namespace quire {
namespace {

uint64_t g_seed = 0;  // of the scenario that runs
int64_t g_step = 0;

void PrintSeed(int /*signal*/) {
  std::fprintf(stderr, "failed at step %lld of the scenario QUIRE_SIM_SEED=%llu\n",
               static_cast<long long>(g_step), static_cast<unsigned long long>(g_seed));
  std::_Exit(1);
}

// How often each thing happened, so that a run that exercises nothing can't pass.
struct Coverage {
  int64_t steps = 0, copies = 0, forks = 0, cached_tokens = 0, preemptions = 0, stalls = 0;
  int64_t deadlines = 0, time_limits = 0, cancels = 0, recomputed_rows = 0, failures = 0;
  int64_t rope_switches = 0;
};

// What the client of one request has seen.
struct Client {
  std::shared_ptr<const Request> request;
  std::vector<std::vector<TokenId>> tokens;
  std::vector<std::optional<Finish>> finishes;
  bool disturbed = false;  // cancelled, failed, or may have run out of time
  bool paused = false;
  bool prompt_scored = false;
  std::map<int, int64_t> finished_at;  // FinishAt calls
  int64_t max_new = 0;
  RequestRope rope;
};

struct OutstandingPlan {
  StepPlan plan;
  std::set<std::pair<int, BlockId>> blocks;  // group, block
};

class Simulation {
 public:
  Simulation(uint64_t seed, Coverage* coverage) : random_(seed), coverage_(coverage) {
    KvManagerConfig kv;
    kv.block_tokens = 1 << Uniform(1, 3);
    config_.context_tokens = Uniform(8, 64);
    config_.max_num_sequences = static_cast<int>(Uniform(1, 8));
    config_.max_batch_tokens = config_.max_num_sequences + Uniform(0, 24);
    config_.pipeline_depth = static_cast<int>(Uniform(1, 2));
    config_.share_generated_blocks = Chance(0.5);
    config_.stall_limit = absl::Milliseconds(Uniform(20, 200));
    // From a client or two that stall together to more than the queue ever clears.
    max_clients_ = Chance(0.3) ? Uniform(1, 3) : 40;
    arrival_rate_ = Chance(0.3) ? 0.05 : 0.35;
    pause_rate_ = Chance(0.3) ? 0.3 : 0.04;
    for (RequestRope& rope : ropes_) {
      rope.rule = static_cast<RequestRope::LengthRule>(Uniform(0, 2));
      rope.original_positions = Uniform(2, 30);
    }
    ropes_[1].choice = {.kind = RopeChoice::Kind::kLinear, .factor = 2};
    const int num_groups = static_cast<int>(Uniform(1, 3));
    for (int group = 0; group < num_groups; ++group) {
      KvGroupConfig made;
      if (group > 0 || Chance(0.3)) made.window = static_cast<int32_t>(Uniform(1, 20));
      if (made.window > 0 && Chance(0.4)) made.sinks = static_cast<int32_t>(Uniform(1, 12));
      const int64_t least =
          made.window == 0
              ? 2
              : Scheduler::MinWindowBlocks(config_, made.window, made.sinks, kv.block_tokens);
      const int64_t spare = made.window == 0 ? 80 / kv.block_tokens : 10;
      made.num_blocks = static_cast<int32_t>(least + Uniform(0, spare));
      kv.groups.push_back(made);
    }
    kv.hash_key = {seed, ~seed};
    kv_ = std::make_unique<KvManager>(kv);
    scheduler_ = std::make_unique<Scheduler>(config_, kv_.get());
    device_ = std::make_unique<FakeDevice>(kv);
    stem_.resize(128);
    for (TokenId& token : stem_) token = static_cast<TokenId>(Uniform(0, kFakeVocabulary - 1));
  }

  // A scenario: `steps` with traffic, then until everything has ended.
  void Run(int64_t steps) {
    for (g_step = 0; g_step < steps && !testing::Test::HasFailure(); ++g_step) {
      RandomTraffic();
      Step();
    }
    for (auto& [key, client] : clients_) {
      scheduler_->Resume(RequestKey(key));
      client.paused = false;
    }
    for (; scheduler_->HasLiveRequests() && !testing::Test::HasFailure(); ++g_step) {
      ASSERT_LT(g_step, steps + 20000) << "does not drain";
      Step();
    }
    while (!outstanding_.empty()) CommitOldest();
    CheckEverythingIsFree();
    coverage_->rope_switches += scheduler_->stats().total_rope_switches;
  }

 private:
  int64_t Uniform(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  bool Chance(double p) { return std::bernoulli_distribution(p)(random_); }

  std::shared_ptr<const Request> RandomRequest() {
    Request request;
    request.tenant = std::string(1, static_cast<char>('a' + Uniform(0, 2)));
    request.cache_salt = Chance(0.1) ? "salt" : "";
    request.priority = static_cast<int32_t>(Uniform(0, 2));
    request.num_sequences =
        Chance(0.3) ? static_cast<int>(Uniform(1, config_.max_num_sequences)) : 1;
    const int64_t capacity = scheduler_->capacity_tokens();
    const int64_t length = Uniform(1, std::max<int64_t>(1, std::min<int64_t>(capacity - 1, 40)));
    request.prompt.assign(stem_.begin(), stem_.begin() + length);
    const int64_t changed = Uniform(0, 2 * length);  // shares a prefix with others, often
    for (int64_t i = changed; i < length; ++i) {
      request.prompt[i] = static_cast<TokenId>(Uniform(0, kFakeVocabulary - 1));
    }
    if (Chance(0.9)) request.stopping.max_new_tokens = Uniform(0, capacity - length);
    if (Chance(0.2)) request.stopping.min_new_tokens = Uniform(0, 10);
    if (Chance(0.7)) request.stopping.eos_token_ids = {kFakeEos};
    if (Chance(0.3)) request.stopping.stop_token_ids = {3, 7};
    if (Chance(0.1)) request.stopping.time_limit = absl::Milliseconds(Uniform(0, 60));
    if (Chance(0.1)) request.deadline = now_ + absl::Milliseconds(Uniform(0, 60));
    request.bypass_prefix_cache = Chance(0.1);
    request.prompt_logprobs = Chance(0.1);
    request.sampling.seed = random_();
    return std::make_shared<const Request>(std::move(request));
  }

  void RandomTraffic() {
    if (std::ssize(clients_) < max_clients_ && Chance(arrival_rate_)) {
      auto request = RandomRequest();
      ASSERT_TRUE(scheduler_->CheckFits(*request).ok()) << scheduler_->CheckFits(*request);
      const int64_t key = next_key_++;
      Client client;
      client.request = request;
      const RequestRope rope = ropes_[Chance(0.2) ? 1 : 0];
      client.rope = rope;
      client.tokens.resize(request->num_sequences);
      client.finishes.resize(request->num_sequences);
      client.disturbed = request->stopping.time_limit != absl::InfiniteDuration() ||
                         request->deadline != absl::InfiniteFuture() || HasBadLogits(*request);
      client.max_new = request->stopping.max_new_tokens.value_or(
          scheduler_->capacity_tokens() - static_cast<int64_t>(request->prompt.size()));
      clients_.emplace(key, std::move(client));
      scheduler_->Add(RequestKey(key), request, now_, rope);
    }
    if (clients_.empty()) return;
    auto chosen = clients_.begin();
    std::advance(chosen, Uniform(0, static_cast<int64_t>(clients_.size()) - 1));
    const RequestKey key(chosen->first);
    Client& client = chosen->second;
    if (Chance(0.03)) {
      client.disturbed = true;
      scheduler_->Cancel(key, now_);
    } else if (Chance(pause_rate_)) {
      client.disturbed = true;  // may stall for too long
      client.paused = true;
      scheduler_->Pause(key, now_);
    } else if (Chance(0.08)) {
      client.paused = false;
      scheduler_->Resume(key);
    } else if (Chance(0.02)) {
      for (auto& [other, resumed] : clients_) {
        resumed.paused = false;
        scheduler_->Resume(RequestKey(other));
      }
    } else if (Chance(0.03)) {
      const auto index =
          static_cast<int>(Uniform(0, static_cast<int64_t>(client.tokens.size()) - 1));
      const auto count = static_cast<int64_t>(client.tokens[index].size());
      if (count > 0 && !client.finishes[index]) {
        client.finished_at[index] = Uniform(1, count);
        scheduler_->FinishAt(key, index, client.finished_at[index], now_);
      }
    }
    ReadEvents();
  }

  void Step() {
    now_ += absl::Milliseconds(1);
    ++coverage_->steps;
    StepPlan plan = scheduler_->Plan(now_);
    ReadEvents();
    scheduler_->CheckInvariants();
    CheckBestGetsOn(plan);
    const bool idle = plan.empty();
    if (!idle) {
      CheckPlan(plan);
      ASSERT_EQ(device_->Run(plan), 0) << "rows saw a wrong prefix";
      outstanding_.push_back({.plan = std::move(plan), .blocks = {}});
      NoteBlocks(outstanding_.back());
    }
    CheckOutstandingBlocks();
    if (idle && outstanding_.empty()) CheckOnlyPausedAreLeft();
    const bool full = static_cast<int>(outstanding_.size()) == config_.pipeline_depth;
    if (!outstanding_.empty() && (full || idle || Chance(0.3))) CommitOldest();
    CheckProgress();
  }

  void CommitOldest() {
    StepPlan plan = std::move(outstanding_.front().plan);
    outstanding_.pop_front();
    const StepResult result = device_->Results(plan);
    scheduler_->Commit(std::move(plan), result, now_);
    ReadEvents();
    scheduler_->CheckInvariants();
    CheckOutstandingBlocks();
  }

  // What the device may touch for the plan.
  void NoteBlocks(OutstandingPlan& outstanding) {
    for (int group = 0; group < kv_->num_groups(); ++group) {
      for (const PlanEntry& entry : outstanding.plan.entries) {
        for (BlockId block : entry.sequence->kv.tables[group].blocks) {
          outstanding.blocks.emplace(group, block);
        }
      }
    }
    for (const PageCopy& copy : outstanding.plan.copies) {
      outstanding.blocks.emplace(copy.group, copy.source);
      outstanding.blocks.emplace(copy.group, copy.target);
    }
  }

  // No block that an outstanding plan names is free for others.
  void CheckOutstandingBlocks() {
    for (const OutstandingPlan& outstanding : outstanding_) {
      for (const auto& [group, block] : outstanding.blocks) {
        ASSERT_GT(kv_->pool(group).references(block), 0)
            << "block " << block.value() << " of group " << group << " was freed under a plan";
      }
    }
  }

  void CheckPlan(const StepPlan& plan) {
    ASSERT_LE(plan.num_rows, config_.max_batch_tokens);
    std::set<const Sequence*> sequences;
    int32_t next_row = 0;
    for (const PlanEntry& entry : plan.entries) {
      ASSERT_EQ(entry.first_row, next_row);
      ASSERT_LT(entry.begin, entry.end);
      ASSERT_EQ(entry.sequence->state, SequenceState::kRunning);
      ASSERT_FALSE(entry.sequence->owner->paused);
      const bool generated = entry.begin >= entry.sequence->prompt_rows();
      ASSERT_EQ(entry.kind == RowKind::kGenerated, generated);
      ASSERT_TRUE(generated || entry.end <= entry.sequence->prompt_rows());
      CheckRope(entry);
      next_row += static_cast<int32_t>(entry.end - entry.begin);
      if (generated && entry.end < entry.sequence->virtual_end()) {
        coverage_->recomputed_rows += entry.end - entry.begin;
      }
      sequences.insert(entry.sequence);
    }
    ASSERT_EQ(next_row, plan.num_rows);
    ASSERT_LE(static_cast<int>(sequences.size()), config_.max_num_sequences);
    for (const PlanSample& sample : plan.samples) {
      ASSERT_LT(plan.logits_rows[sample.logits_row], plan.num_rows);
    }
    coverage_->copies += static_cast<int64_t>(plan.copies.size());
    coverage_->forks += static_cast<int64_t>(plan.samples.size() - plan.logits_rows.size());
  }

  // The rotation is the request's own, for as long a sequence as the rows make it.
  void CheckRope(const PlanEntry& entry) {
    const RequestRope& rope = clients_.at(entry.sequence->owner->key.value()).rope;
    const int64_t prompt = entry.sequence->prompt_tokens();
    SequenceRope expected = rope.Start(prompt);
    if (rope.rule == RequestRope::LengthRule::kSwitch && entry.end > rope.original_positions) {
      expected = rope.Switched();
    }
    if (entry.sequence->refilled > 0) {
      expected = rope.Switched();
      ASSERT_EQ(entry.sequence->refilled, rope.original_positions + 1);
    }
    ASSERT_EQ(entry.sequence->rope, expected);
  }

  // The oldest unpaused sequence of the highest live priority, once it runs, keeps its blocks and
  // has rows in every plan (but for one whose drawn tokens the depth-2 pipeline still holds).
  void CheckBestGetsOn(const StepPlan& plan) {
    std::optional<std::pair<int64_t, int>> best;
    int32_t best_priority = 0;
    for (const auto& [key, client] : clients_) {  // by key: oldest first
      if (client.paused || (best && client.request->priority <= best_priority)) continue;
      for (size_t index = 0; index < client.finishes.size(); ++index) {
        if (client.finishes[index]) continue;
        best = {key, static_cast<int>(index)};
        best_priority = client.request->priority;
        break;
      }
    }
    if (best != best_) {
      best_ = best;
      best_epoch_.reset();
    }
    if (!best_) return;
    best_missed_ += plan.empty() ? 0 : 1;
    for (const PlanEntry& entry : plan.entries) {
      if (entry.sequence->owner->key.value() != best_->first) continue;
      if (entry.sequence->index != best_->second) continue;
      // A switch of the rotation makes an epoch too, but takes no turn.
      const uint32_t epoch = entry.epoch - (entry.sequence->refilled > 0 ? 1 : 0);
      ASSERT_EQ(best_epoch_.value_or(epoch), epoch) << "the best one was preempted";
      best_epoch_ = epoch;
      best_missed_ = 0;
    }
    if (best_epoch_) {
      ASSERT_LE(best_missed_, config_.pipeline_depth - 1);
    }
  }

  void CheckOnlyPausedAreLeft() {
    const SchedulerStats stats = scheduler_->stats();
    ASSERT_EQ(stats.running + stats.waiting + stats.preempted, 0)
        << "work is left but the plan is empty: " << stats.running << " running, " << stats.waiting
        << " waiting, " << stats.preempted << " preempted";
  }

  // Within this many steps some request ends or draws a token, unless all are paused.
  void CheckProgress() {
    const SchedulerStats stats = scheduler_->stats();
    if (stats.running + stats.waiting + stats.preempted == 0) quiet_steps_ = 0;
    ASSERT_LT(++quiet_steps_, 400) << "no progress";
  }

  void ReadEvents() {
    std::vector<TokenEvent> events;
    scheduler_->TakeEvents(events);
    for (TokenEvent& event : events) {
      quiet_steps_ = 0;
      const auto found = clients_.find(event.request.value());
      ASSERT_NE(found, clients_.end()) << "an event after the last one";
      Client& client = found->second;
      ASSERT_FALSE(client.finishes[event.sequence_index]) << "an event after the finish";
      if (!event.prompt_logprobs.empty()) CheckPromptLogprobs(client, event);
      if (event.token) client.tokens[event.sequence_index].push_back(event.token->token);
      if (!event.finish) continue;
      CheckFinish(client, event.sequence_index, *event.finish);
      client.finishes[event.sequence_index] = std::move(event.finish);
      if (std::all_of(client.finishes.begin(), client.finishes.end(),
                      [](const auto& finish) { return finish.has_value(); })) {
        device_->Forget(client.request.get());
        clients_.erase(found);
      }
    }
  }

  void CheckPromptLogprobs(Client& client, const TokenEvent& event) {
    ASSERT_TRUE(client.request->prompt_logprobs);
    ASSERT_FALSE(client.prompt_scored);
    ASSERT_TRUE(client.tokens[0].empty()) << "prompt log-probabilities come first";
    client.prompt_scored = true;
    ASSERT_EQ(event.prompt_logprobs.size(), client.request->prompt.size() - 1);
    for (size_t i = 0; i < event.prompt_logprobs.size(); ++i) {
      ASSERT_EQ(event.prompt_logprobs[i].chosen.token, client.request->prompt[i + 1]);
    }
  }

  // Every sequence gets exactly the tokens of its solo run, up to where it ended.
  void CheckFinish(const Client& client, int index, const Finish& finish) {
    const Request& request = *client.request;
    std::vector<TokenId> expected;
    FinishReason reason =
        request.stopping.max_new_tokens ? FinishReason::kMaxTokens : FinishReason::kContextLimit;
    while (static_cast<int64_t>(expected.size()) < client.max_new) {
      const auto count = static_cast<int64_t>(expected.size());
      const TokenId token = FakeToken(request, index, count);
      expected.push_back(token);
      const auto& stop_ids = request.stopping.stop_token_ids;
      if (count < request.stopping.min_new_tokens) continue;
      if (!request.stopping.eos_token_ids.empty() && token == kFakeEos) {
        reason = FinishReason::kEos;
        break;
      }
      if (std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) {
        reason = FinishReason::kStopToken;
        break;
      }
    }
    coverage_->stalls += finish.status.code() == absl::StatusCode::kResourceExhausted ? 1 : 0;
    coverage_->deadlines += finish.status.code() == absl::StatusCode::kDeadlineExceeded ? 1 : 0;
    coverage_->time_limits += finish.reason == FinishReason::kTimeLimit ? 1 : 0;
    coverage_->cancels += finish.reason == FinishReason::kCancelled ? 1 : 0;
    if (finish.status.code() == absl::StatusCode::kInternal) {
      ASSERT_TRUE(HasBadLogits(request));
      ++coverage_->failures;
    }
    coverage_->preemptions += finish.usage.preemptions;
    coverage_->cached_tokens += finish.usage.cached_tokens;
    const std::vector<TokenId>& got = client.tokens[index];
    ASSERT_LE(got.size(), expected.size());
    ASSERT_TRUE(std::equal(got.begin(), got.end(), expected.begin()));
    const auto at = client.finished_at.find(index);
    if (at != client.finished_at.end()) {
      ASSERT_EQ(finish.reason, FinishReason::kStopString);
      ASSERT_EQ(finish.usage.completion_tokens, at->second);
    } else if (!client.disturbed) {
      ASSERT_EQ(finish.reason, reason);
      ASSERT_EQ(got.size(), expected.size());
      ASSERT_EQ(finish.usage.completion_tokens, static_cast<int64_t>(got.size()));
    }
    ASSERT_EQ(finish.usage.prompt_tokens, static_cast<int64_t>(request.prompt.size()));
    ASSERT_LT(finish.usage.cached_tokens, finish.usage.prompt_tokens);
    ASSERT_LE(finish.timings.queued + finish.timings.prefill, finish.timings.total);
  }

  void CheckEverythingIsFree() {
    ASSERT_TRUE(clients_.empty());
    for (int group = 0; group < kv_->num_groups(); ++group) {
      ASSERT_EQ(kv_->pool(group).num_referenced(), 0) << "group " << group;
    }
    scheduler_->CheckInvariants();
  }

  std::mt19937_64 random_;
  Coverage* coverage_;
  std::optional<std::pair<int64_t, int>> best_;  // request, sequence
  std::optional<uint32_t> best_epoch_;           // once it has had rows as the best one
  int64_t best_missed_ = 0;                      // plans since then without it
  SchedulerConfig config_;
  std::unique_ptr<KvManager> kv_;
  std::unique_ptr<Scheduler> scheduler_;
  std::unique_ptr<FakeDevice> device_;
  std::vector<TokenId> stem_;
  RequestRope ropes_[2];
  std::map<int64_t, Client> clients_;
  std::deque<OutstandingPlan> outstanding_;
  int64_t max_clients_ = 0;
  double arrival_rate_ = 0;
  double pause_rate_ = 0;
  absl::Time now_ = absl::FromUnixSeconds(1000);
  int64_t next_key_ = 0;
  int64_t quiet_steps_ = 0;
};

Coverage RunScenarios(int count, int64_t steps_each, uint64_t first_seed) {
  Coverage coverage;
  std::signal(SIGABRT, PrintSeed);
  if (const char* only = std::getenv("QUIRE_SIM_SEED")) {
    first_seed = std::strtoull(only, nullptr, 10);
    count = 1;
  }
  for (int i = 0; i < count; ++i) {
    g_seed = first_seed + i;
    SCOPED_TRACE(absl::StrCat("QUIRE_SIM_SEED=", g_seed));
    Simulation(g_seed, &coverage).Run(steps_each);
    if (testing::Test::HasFailure()) {
      ADD_FAILURE() << "step " << g_step << " of QUIRE_SIM_SEED=" << g_seed;
      break;
    }
  }
  return coverage;
}

TEST(SchedulerSimulation, LawsHoldInShortScenarios) { RunScenarios(60, 300, 1); }

// A fifth of them under sanitizers.
#ifdef QUIRE_SANITIZED
constexpr int kScenarios = 200;
#else
constexpr int kScenarios = 1000;
#endif

TEST(SchedulerSimulation, LawsHoldThroughAMillionSteps) {
  const Coverage seen = RunScenarios(kScenarios, 1000, 100000);
  EXPECT_GE(seen.steps, kScenarios * 1000);
  std::string line = absl::StrCat(seen.steps, " steps:");
  for (const auto& [name, count] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"copies", seen.copies},
           {"forks", seen.forks},
           {"cached tokens", seen.cached_tokens},
           {"preemptions", seen.preemptions},
           {"stalls", seen.stalls},
           {"deadlines", seen.deadlines},
           {"time limits", seen.time_limits},
           {"cancels", seen.cancels},
           {"rows recomputed", seen.recomputed_rows},
           {"failures", seen.failures},
           {"rope switches", seen.rope_switches}}) {
    EXPECT_GE(count, kScenarios) << name;
    absl::StrAppend(&line, " ", count, " ", name);
  }
  std::puts(line.c_str());
}

}  // namespace
}  // namespace quire
