// The life of a request: queued, paused, ended. plan.cc and commit.cc have the step.
#include "scheduler/scheduler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/ceil_div.h"
#include "core/check.h"

namespace quire {

Scheduler::Scheduler(const SchedulerConfig& config, KvManager* kv)
    : config_(config),
      kv_(kv),
      capacity_tokens_(std::min(config.context_tokens, kv->MaxSequenceTokens())) {
  QUIRE_CHECK_GE(config.max_batch_tokens, config.max_num_sequences);
  QUIRE_CHECK_GE(config.pipeline_depth, 1);
  promised_.assign(kv->num_groups(), 0);
  for (const KvGroupConfig& group : kv->config().groups) {
    if (group.window == 0) continue;
    QUIRE_CHECK_GE(int64_t{group.num_blocks},
                   MinWindowBlocks(config, group.window, group.sinks, kv->config().block_tokens));
  }
}

int64_t Scheduler::MinWindowBlocks(const SchedulerConfig& config, int32_t window, int32_t sinks,
                                   int block_tokens) {
  const int64_t span =
      std::min(window + config.pipeline_depth * config.max_batch_tokens, config.context_tokens);
  return CeilDiv(span, int64_t{block_tokens}) + 1 + CeilDiv(sinks, block_tokens);
}

Scheduler::~Scheduler() = default;

absl::Status Scheduler::CheckFits(const Request& request) const {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  if (config_.whole_prompts && prompt > config_.max_batch_tokens) {
    return absl::OutOfRangeError(absl::StrCat(
        "the text has ", prompt, " tokens; this model computes it in one step, and the limit is ",
        config_.max_batch_tokens, " (--max-batch-tokens)"));
  }
  const char* bound = capacity_tokens_ < config_.context_tokens
                          ? " tokens that the KV cache can hold (raise --kv-cache-bytes)"
                          : " tokens of the context";
  if (request.pooling) {  // nothing comes after the prompt
    if (prompt <= capacity_tokens_) return absl::OkStatus();
    return absl::OutOfRangeError(absl::StrCat("the text has ", prompt, " tokens; the limit is the ",
                                              capacity_tokens_, bound));
  }
  if (prompt > capacity_tokens_ - 1) {
    return absl::OutOfRangeError(absl::StrCat("prompt has ", prompt, " tokens; the limit is ",
                                              capacity_tokens_ - 1, ", one less than the ",
                                              capacity_tokens_, bound));
  }
  const int64_t max_new = request.stopping.max_new_tokens.value_or(0);
  if (prompt + max_new > capacity_tokens_) {
    return absl::OutOfRangeError(absl::StrCat("prompt (", prompt, " tokens) + max_new_tokens (",
                                              max_new, ") = ", prompt + max_new,
                                              " is more than the ", capacity_tokens_, bound));
  }
  if (request.num_sequences > config_.max_num_sequences) {
    return absl::OutOfRangeError(
        absl::StrCat("num_sequences is ", request.num_sequences, "; this server runs at most ",
                     config_.max_num_sequences, " sequences at once (--max-num-sequences)"));
  }
  return absl::OkStatus();
}

// An empty one, whose pages only sequences with the same rotation share.
SequenceKv Scheduler::NewKv(const Sequence& sequence) const {
  const Request& request = sequence.request();
  return kv_->NewSequence(request.tenant, request.cache_salt, RopeCacheKey(sequence.rope),
                          !request.bypass_prefix_cache);
}

void Scheduler::Add(RequestKey key, std::shared_ptr<const Request> request, absl::Time now,
                    const RequestRope& rope) {
  QUIRE_CHECK(CheckFits(*request).ok());
  QUIRE_CHECK(!request->prompt.empty());
  auto live = std::make_unique<LiveRequest>();
  live->key = key;
  live->request = std::move(request);
  live->rope = rope;
  live->max_new_tokens = live->request->stopping.max_new_tokens.value_or(
      capacity_tokens_ - static_cast<int64_t>(live->request->prompt.size()));
  const StoppingParams& stopping = live->request->stopping;
  live->end_ids = stopping.eos_token_ids;
  live->end_ids.insert(live->end_ids.end(), stopping.stop_token_ids.begin(),
                       stopping.stop_token_ids.end());
  if (live->request->pooling) {
    QUIRE_CHECK_EQ(live->max_new_tokens, 0);
    QUIRE_CHECK_EQ(live->request->num_sequences, 1);
    live->pool_sum.assign(config_.embedding_width, 0.0F);
  }
  live->arrival = now;
  live->live_sequences = live->request->num_sequences;
  for (int index = 0; index < live->request->num_sequences; ++index) {
    auto sequence = std::make_unique<Sequence>();
    sequence->owner = live.get();
    sequence->index = index;
    sequence->id = ++num_sequences_made_;
    sequence->rope = rope.Start(sequence->prompt_tokens());
    sequence->kv = NewKv(*sequence);
    live->sequences.push_back(std::move(sequence));
  }
  Sequence& first = *live->sequences.front();
  first.pending_forks = live->request->num_sequences - 1;
  first.state = SequenceState::kWaiting;
  waiting_.Push(&first);
  ++num_queued_;
  live->tenant = shares_.Enter(live->request->tenant);
  next_expiry_ =
      std::min({next_expiry_, live->request->deadline, now + live->request->stopping.time_limit});
  const bool is_new = requests_.emplace(key, std::move(live)).second;
  QUIRE_CHECK(is_new) << "request " << key;
}

LiveRequest* Scheduler::Find(RequestKey key) const {
  const auto found = requests_.find(key);
  return found == requests_.end() ? nullptr : found->second.get();
}

void Scheduler::Cancel(RequestKey key, absl::Time now) {
  if (LiveRequest* live = Find(key)) {
    FinishAll(*live, FinishReason::kCancelled, absl::OkStatus(), now);
  }
}

void Scheduler::Fail(RequestKey key, const absl::Status& status, absl::Time now) {
  if (LiveRequest* live = Find(key)) FinishAll(*live, FinishReason::kFailed, status, now);
}

void Scheduler::FinishAt(RequestKey key, int sequence_index, int64_t num_tokens, absl::Time now) {
  LiveRequest* live = Find(key);
  if (live == nullptr) return;
  QUIRE_CHECK_LT(static_cast<size_t>(sequence_index), live->sequences.size());
  Sequence& sequence = *live->sequences[sequence_index];
  if (sequence.state == SequenceState::kDone) return;
  QUIRE_CHECK_LE(num_tokens, static_cast<int64_t>(sequence.output.size()));
  sequence.output.resize(num_tokens);
  FinishSequence(sequence, FinishReason::kStopString, absl::OkStatus(), now);
}

void Scheduler::Pause(RequestKey key, absl::Time now) {
  LiveRequest* live = Find(key);
  if (live == nullptr || live->paused) return;
  live->paused = true;
  live->paused_since = now;
  next_expiry_ = std::min(next_expiry_, now + config_.stall_limit);
  for (const auto& sequence : live->sequences) {
    if (sequence->state != SequenceState::kRunning && sequence->state != SequenceState::kWaiting) {
      continue;
    }
    LeaveState(*sequence);
    sequence->state = SequenceState::kPaused;
    paused_.push_back(sequence.get());
  }
}

void Scheduler::Resume(RequestKey key) {
  LiveRequest* live = Find(key);
  if (live == nullptr || !live->paused) return;
  live->paused = false;
  live->paused_since = absl::InfiniteFuture();
  for (const auto& sequence : live->sequences) {
    if (sequence->state != SequenceState::kPaused) continue;
    LeaveState(*sequence);
    sequence->state = SequenceState::kWaiting;
    waiting_.Push(sequence.get());
  }
}

// Takes the sequence out of the list that its state keeps it in.
void Scheduler::LeaveState(Sequence& sequence) {
  switch (sequence.state) {
    case SequenceState::kRunning:
      used_slots_ -= sequence.slots();
      running_.erase(std::find(running_.begin(), running_.end(), &sequence));
      break;
    case SequenceState::kPaused:
      paused_.erase(std::find(paused_.begin(), paused_.end(), &sequence));
      break;
    case SequenceState::kWaiting:
      waiting_.Remove(&sequence);
      break;
    case SequenceState::kFork:
    case SequenceState::kDone:
      break;
  }
}

void Scheduler::FinishAll(LiveRequest& live, FinishReason reason, const absl::Status& status,
                          absl::Time now) {
  // The last one to finish takes `live` out of requests_, though not out of memory (BuryDead).
  const size_t count = live.sequences.size();
  for (size_t index = 0; index < count; ++index) {
    Sequence& sequence = *live.sequences[index];
    if (sequence.state != SequenceState::kDone) FinishSequence(sequence, reason, status, now);
  }
}

void Scheduler::FinishSequence(Sequence& sequence, FinishReason reason, const absl::Status& status,
                               absl::Time now) {
  LiveRequest& live = *sequence.owner;
  LeaveState(sequence);
  sequence.state = SequenceState::kDone;
  kv_->ReleaseAll(sequence.kv, sequence.last_plan);

  Finish finish{.reason = reason,
                .stop_token = std::nullopt,
                .status = status,
                .embedding = {},
                .usage = {.prompt_tokens = sequence.prompt_tokens(),
                          .cached_tokens = sequence.cached_tokens,
                          .completion_tokens = static_cast<int64_t>(sequence.output.size()),
                          .preemptions = sequence.preemptions},
                .timings = {}};
  if (reason == FinishReason::kEos || reason == FinishReason::kStopToken) {
    finish.stop_token = sequence.output.back();
  }
  if (reason == FinishReason::kMaxTokens && live.request->pooling) {
    finish.embedding = std::move(live.pool_sum);
    if (live.request->pooling == Pooling::kMean) {
      for (float& value : finish.embedding) value /= static_cast<float>(sequence.prompt_tokens());
    }
  }
  const absl::Time admitted = std::min(live.first_admitted, now);
  const absl::Time first_token = std::min(live.first_token, now);
  finish.timings.queued = admitted - live.arrival;
  finish.timings.total = now - live.arrival;
  if (live.first_token != absl::InfiniteFuture()) {
    finish.timings.prefill = first_token - admitted;
    finish.timings.time_to_first_token = first_token - live.arrival;
  }
  TokenEvent event;
  event.request = live.key;
  event.sequence_index = sequence.index;
  event.finish = std::move(finish);
  events_.push_back(std::move(event));

  if (--live.live_sequences > 0) return;
  if (!live.admitted) --num_queued_;
  shares_.Leave(std::exchange(live.tenant, nullptr));
  const auto entry = requests_.find(live.key);
  dead_.push_back(std::move(entry->second));
  requests_.erase(entry);
}

// Frees requests that no outstanding plan names.
void Scheduler::BuryDead() {
  std::erase_if(dead_, [&](const std::unique_ptr<LiveRequest>& live) {
    return std::all_of(live->sequences.begin(), live->sequences.end(), [&](const auto& sequence) {
      return sequence->last_plan <= kv_->last_committed();
    });
  });
}

void Scheduler::Expire(absl::Time now) {
  if (now < next_expiry_) return;
  next_expiry_ = absl::InfiniteFuture();
  std::vector<LiveRequest*> live_requests;
  for (const auto& [key, live] : requests_) live_requests.push_back(live.get());
  std::sort(live_requests.begin(), live_requests.end(),
            [](const LiveRequest* a, const LiveRequest* b) { return a->key < b->key; });
  for (LiveRequest* live : live_requests) {
    const absl::Time out_of_time = live->arrival + live->request->stopping.time_limit;
    const absl::Time stalled = live->paused_since + config_.stall_limit;
    if (now >= live->request->deadline) {
      FinishAll(*live, FinishReason::kFailed,
                absl::DeadlineExceededError("the request's deadline passed"), now);
    } else if (now >= out_of_time) {
      FinishAll(*live, FinishReason::kTimeLimit, absl::OkStatus(), now);
    } else if (now >= stalled) {
      FinishAll(*live, FinishReason::kFailed,
                absl::ResourceExhaustedError(absl::StrCat(
                    "the client read nothing for ", absl::FormatDuration(config_.stall_limit),
                    " while tokens waited; read faster or ask for fewer")),
                now);
    } else {
      next_expiry_ = std::min({next_expiry_, live->request->deadline, out_of_time, stalled});
    }
  }
}

absl::Time Scheduler::NextExpiry() const { return next_expiry_; }

// The two vectors take turns, so that both keep their room.
void Scheduler::TakeEvents(std::vector<TokenEvent>& events) {
  events.clear();
  events.swap(events_);
}

FitReport Scheduler::Estimate(const Request& request, const RequestRope& rope) const {
  FitReport report;
  report.fits_ever = CheckFits(request).ok();
  if (request.prompt.empty()) return report;
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t longest = prompt + request.stopping.max_new_tokens.value_or(
                                       std::max<int64_t>(0, capacity_tokens_ - prompt));
  const int block_tokens = kv_->config().block_tokens;
  report.blocks.resize(kv_->num_groups());
  for (int group = 0; group < kv_->num_groups(); ++group) {
    const int64_t first = kv_->FirstVisibleBlock(group, longest - 1);
    const auto held = [&](int64_t end) {  // of blocks [0, end)
      return std::max<int64_t>(0, end - first) +
             std::min<int64_t>({end, first, kv_->SinkBlocks(group)});
    };
    const int64_t shared = held(prompt / block_tokens);
    const int64_t each = held(CeilDiv(longest, int64_t{block_tokens})) - shared;
    report.blocks[group] = shared + request.num_sequences * each;
  }
  if (!report.fits_ever) return report;  // nor is a prompt hashed that is longer than any context

  LiveRequest live;
  live.request = std::shared_ptr<const Request>(&request, [](const Request*) {});  // borrowed
  Sequence sequence;
  sequence.owner = &live;
  sequence.pending_forks = request.num_sequences - 1;
  sequence.rope = rope.Start(prompt);
  sequence.kv = NewKv(sequence);
  const PrefixHit hit = MatchPrefix(sequence);
  report.cached_tokens = int64_t{hit.blocks} * block_tokens;
  const Sequence* next = waiting_.Next();
  report.fits_now = used_slots_ + request.num_sequences <= config_.max_num_sequences &&
                    RoomFor(AdmissionNeed(sequence, hit)) == Room::kYes &&
                    (next == nullptr || next->request().priority < request.priority);
  return report;
}

SchedulerStats Scheduler::stats() const {
  SchedulerStats stats = totals_;
  for (const Sequence* sequence : waiting_.sequences()) {
    ++(sequence->owner->admitted ? stats.preempted : stats.waiting);
  }
  stats.running = static_cast<int64_t>(running_.size());
  stats.paused = static_cast<int64_t>(paused_.size());
  return stats;
}

void Scheduler::CheckInvariants() const {
  std::vector<const SequenceKv*> live_kv;
  int slots = 0;
  size_t running = 0;
  size_t paused = 0;
  size_t waiting = 0;
  for (const auto& [key, live] : requests_) {
    int alive = 0;
    for (const auto& sequence : live->sequences) {
      live_kv.push_back(&sequence->kv);
      alive += sequence->state != SequenceState::kDone ? 1 : 0;
      running += sequence->state == SequenceState::kRunning ? 1 : 0;
      paused += sequence->state == SequenceState::kPaused ? 1 : 0;
      waiting += sequence->state == SequenceState::kWaiting ? 1 : 0;
      slots += sequence->state == SequenceState::kRunning ? sequence->slots() : 0;
      if (sequence->state == SequenceState::kDone || sequence->state == SequenceState::kFork) {
        QUIRE_CHECK(!sequence->HoldsBlocks()) << "request " << key;
        continue;
      }
      QUIRE_CHECK_LE(sequence->num_computed, sequence->planned_end) << "request " << key;
      QUIRE_CHECK_LE(sequence->planned_end, sequence->virtual_end()) << "request " << key;
    }
    QUIRE_CHECK_EQ(alive, live->live_sequences);
    QUIRE_CHECK_GT(alive, 0);
  }
  QUIRE_CHECK_EQ(slots, used_slots_);
  QUIRE_CHECK_LE(used_slots_, config_.max_num_sequences);
  QUIRE_CHECK_EQ(running, running_.size());
  QUIRE_CHECK_EQ(paused, paused_.size());
  QUIRE_CHECK_EQ(waiting, waiting_.sequences().size());
  QUIRE_CHECK(std::is_sorted(running_.begin(), running_.end(),
                             [](const auto* a, const auto* b) { return RanksBelow(*b, *a); }));
  kv_->CheckInvariants(live_kv);
}

}  // namespace quire
