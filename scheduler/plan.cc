// Scheduler::Plan: who computes which rows in the next step.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "scheduler/scheduler.h"

namespace quire {

StepPlan Scheduler::Plan(absl::Time now) {
  QUIRE_CHECK_LT(outstanding_plans_, config_.pipeline_depth);
  Expire(now);
  StepPlan plan;
  if (!spare_plans_.empty()) {
    plan = std::move(spare_plans_.back());
    spare_plans_.pop_back();
  }
  BuryDead();
  plan.id = next_plan_;
  promised_.assign(kv_->num_groups(), 0);
  for (Sequence* sequence : running_) {
    if (OutgrowsRope(*sequence) && sequence->inflight_samples == 0) SwitchRope(*sequence);
  }

  // Decodes have the first claim on the rows; prefill gets what they leave.
  chunk_budget_ =
      config_.max_batch_tokens - std::count_if(running_.begin(), running_.end(),
                                               [&](const Sequence* s) { return DecodesNext(*s); });

  // One pass by rank, so that whoever must yield has not been planned yet: running sequences of a
  // priority, then waiting ones of that priority. Nobody overtakes a waiting sequence that lacks
  // room.
  plan_order_.assign(running_.begin(), running_.end());
  bool queue_blocked = false;
  Sequence* waiting = waiting_.Next();
  for (size_t next_running = 0, revision = waiting_.revision();;) {
    if (revision != waiting_.revision()) {  // somebody was admitted or preempted
      waiting = queue_blocked ? nullptr : waiting_.Next();
      revision = waiting_.revision();
    }
    Sequence* running = next_running < plan_order_.size() ? plan_order_[next_running] : nullptr;
    if (running != nullptr &&
        (waiting == nullptr || running->request().priority >= waiting->request().priority)) {
      PlanRunning(*running, plan);
      ++next_running;
    } else if (waiting != nullptr) {
      queue_blocked = !TryAdmit(*waiting, plan, now);
      if (queue_blocked) waiting = nullptr;
    } else {
      break;
    }
  }
  if (plan.empty()) {
    spare_plans_.push_back(std::move(plan));
    return StepPlan{};
  }
  ArrangeRows(plan);
  next_plan_ = PlanId(next_plan_.value() + 1);
  ++outstanding_plans_;
  return plan;
}

// The end of the rows that the sequence can have computed now: all whose tokens are known or being
// drawn, unless it has drawn its last.
int64_t Scheduler::RowsWanted(const Sequence& sequence) const {
  const int64_t max_new = sequence.owner->max_new_tokens;
  if (sequence.virtual_end() - sequence.prompt_tokens() < max_new) return sequence.virtual_end();
  return max_new == 0 ? sequence.prompt_tokens() : sequence.planned_end;
}

bool Scheduler::DecodesNext(const Sequence& sequence) const {
  return sequence.planned_end >= sequence.prompt_rows() &&
         RowsWanted(sequence) - sequence.planned_end == 1 && !OutgrowsRope(sequence);
}

// Whether the rows that it wants next need other frequencies than those that it has.
bool Scheduler::OutgrowsRope(const Sequence& sequence) const {
  const RequestRope& rope = sequence.owner->rope;
  return rope.rule == RequestRope::LengthRule::kSwitch && sequence.rope.length == 0 &&
         RowsWanted(sequence) > rope.original_positions;
}

// Gives back what was computed with the short sequences' frequencies. All positions are computed
// again with the long ones', as the prompt of a request would be that begins with them.
void Scheduler::SwitchRope(Sequence& sequence) {
  QUIRE_CHECK_EQ(sequence.inflight_samples, 0);
  kv_->ReleaseAll(sequence.kv, sequence.last_plan);
  sequence.rope = sequence.owner->rope.Switched();
  sequence.kv = NewKv(sequence);
  sequence.refilled = sequence.num_tokens();
  sequence.num_computed = 0;
  sequence.planned_end = 0;
  ++sequence.epoch;
  ++totals_.total_rope_switches;
  const PrefixHit hit = MatchPrefix(sequence);
  if (hit.blocks == 0 || RoomFor(hit.revived) != Room::kYes) return;
  kv_->TakeHit(sequence.kv, hit);
  sequence.num_computed = int64_t{hit.blocks} * kv_->config().block_tokens;
  sequence.planned_end = sequence.num_computed;
}

// Where the sequence's next rows end, given what is left for prefill.
int64_t Scheduler::NextEnd(const Sequence& sequence) const {
  const int64_t wanted = RowsWanted(sequence);
  return DecodesNext(sequence) ? wanted : std::min(wanted, sequence.planned_end + chunk_budget_);
}

void Scheduler::PlanRunning(Sequence& sequence, StepPlan& plan) {
  if (sequence.state != SequenceState::kRunning) return;  // preempted by a better one just now
  if (OutgrowsRope(sequence)) return;                     // once its last token is known
  const int64_t end = NextEnd(sequence);
  if (end <= sequence.planned_end || !EnsureBlocks(sequence, end, plan)) return;
  if (!DecodesNext(sequence)) chunk_budget_ -= end - sequence.planned_end;
  PlanRows(sequence, end, plan);
}

// Adds rows [planned_end, end), whose blocks are reserved.
void Scheduler::PlanRows(Sequence& sequence, int64_t end, StepPlan& plan) {
  const int64_t begin = sequence.planned_end;
  const int64_t prompt_end = std::clamp(sequence.prompt_rows(), begin, end);
  if (begin < prompt_end) {
    plan.entries.push_back({.sequence = &sequence,
                            .begin = begin,
                            .end = prompt_end,
                            .kind = RowKind::kPrompt,
                            .epoch = sequence.epoch});
    PlanPromptLogprobs(sequence, begin, prompt_end, plan);
    PlanPooling(sequence, begin, prompt_end, plan);
  }
  if (prompt_end < end) {
    plan.entries.push_back({.sequence = &sequence,
                            .begin = prompt_end,
                            .end = end,
                            .kind = RowKind::kGenerated,
                            .epoch = sequence.epoch});
  }
  sequence.planned_end = end;
  sequence.last_plan = plan.id;
  const bool draws =
      sequence.virtual_end() - sequence.prompt_tokens() < sequence.owner->max_new_tokens;
  if (draws && end == sequence.virtual_end()) PlanSamples(sequence, plan);
}

// Until ArrangeRows knows the rows, logits_rows and PromptLogprobRow::row hold indices of entries.
void Scheduler::PlanSamples(Sequence& sequence, StepPlan& plan) {
  const auto logits_row = static_cast<int32_t>(plan.logits_rows.size());
  plan.logits_rows.push_back(static_cast<int32_t>(plan.entries.size()) - 1);
  const int64_t position = sequence.planned_end;
  const auto draw = [&](Sequence& drawing) {
    plan.samples.push_back({.sequence = &drawing,
                            .position = position,
                            .logits_row = logits_row,
                            .epoch = drawing.epoch});
    ++drawing.inflight_samples;
    drawing.last_plan = plan.id;
  };
  draw(sequence);
  // The prompt is computed: the other samples of the request share its pages from here.
  for (; sequence.pending_forks > 0; --sequence.pending_forks) {
    const size_t index = sequence.owner->sequences.size() - sequence.pending_forks;
    Sequence& fork = *sequence.owner->sequences[index];
    kv_->Fork(sequence.kv, fork.kv);
    fork.planned_end = position;
    fork.cached_tokens = sequence.cached_tokens;
    --used_slots_;  // reserved with sequence 0; StartRunning counts the fork's own
    StartRunning(fork);
    draw(fork);
  }
}

void Scheduler::PlanPromptLogprobs(Sequence& sequence, int64_t begin, int64_t end, StepPlan& plan) {
  if (!sequence.request().prompt_logprobs || sequence.owner->prompt_logprobs_sent) return;
  const auto entry = static_cast<int32_t>(plan.entries.size()) - 1;
  for (int64_t row = begin; row < std::min(end, sequence.prompt_tokens() - 1); ++row) {
    plan.prompt_logprobs.push_back({.sequence = &sequence, .position = row + 1, .row = entry});
  }
}

// Rows that a preemption makes compute again are in the sum already. Until ArrangeRows knows the
// rows, first_row counts from the entry's first.
void Scheduler::PlanPooling(Sequence& sequence, int64_t begin, int64_t end, StepPlan& plan) {
  LiveRequest& live = *sequence.owner;
  if (!live.request->pooling) return;
  int64_t pool_begin = 0;
  int64_t pool_end = sequence.prompt_tokens();
  if (live.request->pooling == Pooling::kCls) pool_end = 1;
  if (live.request->pooling == Pooling::kLast) pool_begin = pool_end - 1;
  pool_begin = std::max({pool_begin, begin, live.pool_planned});
  pool_end = std::min(pool_end, end);
  if (pool_begin >= pool_end) return;
  live.pool_planned = pool_end;
  plan.pooled.push_back({.request = &live,
                         .entry = static_cast<int32_t>(plan.entries.size()) - 1,
                         .first_row = static_cast<int32_t>(pool_begin - begin),
                         .count = static_cast<int32_t>(pool_end - pool_begin)});
}

// Generated rows first: kernels that follow the row's kind get each kind in one piece.
void Scheduler::ArrangeRows(StepPlan& plan) const {
  for (RowKind kind : {RowKind::kGenerated, RowKind::kPrompt}) {
    for (PlanEntry& entry : plan.entries) {
      if (entry.kind != kind) continue;
      entry.first_row = plan.num_rows;
      plan.num_rows += static_cast<int32_t>(entry.end - entry.begin);
    }
    if (kind == RowKind::kGenerated) plan.num_generated_rows = plan.num_rows;
  }
  QUIRE_CHECK_LE(int64_t{plan.num_rows}, config_.max_batch_tokens);
  for (int32_t& row : plan.logits_rows) {
    const PlanEntry& entry = plan.entries[row];
    row = entry.first_row + static_cast<int32_t>(entry.end - entry.begin) - 1;
  }
  for (PromptLogprobRow& scored : plan.prompt_logprobs) {
    const PlanEntry& entry = plan.entries[scored.row];
    scored.row = entry.first_row + static_cast<int32_t>(scored.position - 1 - entry.begin);
  }
  for (PooledRows& pooled : plan.pooled) {
    pooled.first_row += plan.entries[pooled.entry].first_row;
  }
  std::stable_partition(plan.entries.begin(), plan.entries.end(),
                        [](const PlanEntry& entry) { return entry.kind == RowKind::kGenerated; });
}

PrefixHit Scheduler::MatchPrefix(Sequence& sequence) const {
  const Request& request = sequence.request();
  const bool needs_every_row = request.prompt_logprobs && !sequence.owner->prompt_logprobs_sent;
  int64_t reusable = sequence.num_tokens() - 1;  // one row at least gives the logits
  if (!config_.share_generated_blocks) {
    reusable = std::min(reusable, sequence.prompt_rows() - 1);
  }
  const bool pools_early_rows = request.pooling && request.pooling != Pooling::kLast;
  if (request.bypass_prefix_cache || needs_every_row || pools_early_rows) reusable = 0;
  const auto token = [&](int64_t position) { return sequence.token(position); };
  kv_->ExtendChain(sequence.kv, reusable, token);
  return kv_->Match(sequence.kv, static_cast<int32_t>(reusable / kv_->config().block_tokens),
                    token);
}

// Blocks that must be available to admit: what the tokens take beyond the hit, and one page more
// for each sequence to grow into, though never more than the pool has.
GroupCounts Scheduler::AdmissionNeed(const Sequence& sequence, const PrefixHit& hit) const {
  const int block_tokens = kv_->config().block_tokens;
  const int64_t hit_tokens = int64_t{hit.blocks} * block_tokens;
  GroupCounts need(kv_->num_groups());
  for (int group = 0; group < kv_->num_groups(); ++group) {
    int64_t end = sequence.num_tokens();
    if (kv_->config().groups[group].window > 0) {
      end = std::min(end, hit_tokens + config_.max_batch_tokens);  // pages behind are given back
    }
    const auto held = static_cast<int32_t>(hit.held[group].size());
    const auto end_block = static_cast<int32_t>((end + block_tokens - 1) / block_tokens);
    const int32_t wanted =
        std::min(end_block - hit.blocks + held + sequence.slots(), kv_->pool(group).num_blocks());
    need[group] = wanted - held + hit.revived[group];
  }
  return need;
}

void Scheduler::StartRunning(Sequence& sequence) {
  sequence.state = SequenceState::kRunning;
  used_slots_ += sequence.slots();
  running_.insert(
      std::upper_bound(running_.begin(), running_.end(), &sequence,
                       [](const Sequence* a, const Sequence* b) { return RanksBelow(*b, *a); }),
      &sequence);
}

bool Scheduler::TryAdmit(Sequence& sequence, StepPlan& plan, absl::Time now) {
  // A preempted sequence whose last token is still being drawn waits for it.
  if (chunk_budget_ <= 0 || sequence.inflight_samples > 0) return false;
  if (config_.whole_prompts && chunk_budget_ < sequence.prompt_tokens()) return false;
  if (OutgrowsRope(sequence)) SwitchRope(sequence);
  PrefixHit hit;
  if (!MakeRoomToAdmit(sequence, hit)) return false;
  waiting_.Remove(&sequence);
  StartRunning(sequence);
  if (!sequence.HoldsBlocks()) {  // else it was resumed in time and goes on where it stopped
    kv_->TakeHit(sequence.kv, hit);
    const int64_t hit_tokens = int64_t{hit.blocks} * kv_->config().block_tokens;
    sequence.num_computed = hit_tokens;
    sequence.planned_end = hit_tokens;
    NoteAdmission(sequence, hit_tokens, now);
  }
  const int64_t begin = sequence.planned_end;
  const int64_t end = NextEnd(sequence);
  if (end <= begin) return true;
  kv_->Reserve(sequence.kv, begin, end, RowsWanted(sequence), plan.id, plan.copies);
  chunk_budget_ -= end - begin;
  PlanRows(sequence, end, plan);
  return true;
}

void Scheduler::NoteAdmission(Sequence& sequence, int64_t cached_tokens, absl::Time now) {
  LiveRequest& live = *sequence.owner;
  if (live.admitted) return;
  live.admitted = true;
  --num_queued_;
  live.first_admitted = now;
  sequence.cached_tokens = cached_tokens;
  totals_.total_prompt_tokens += sequence.prompt_tokens();
  totals_.total_cached_tokens += cached_tokens;
}

// Preempts lower priorities and paused sequences until the sequence fits, if that can make it fit.
bool Scheduler::MakeRoomToAdmit(Sequence& sequence, PrefixHit& hit) {
  while (true) {
    GroupCounts need;
    if (sequence.HoldsBlocks()) {
      need = kv_->BlocksNeeded(sequence.kv, sequence.planned_end, NextEnd(sequence),
                               RowsWanted(sequence));
    } else {
      hit = MatchPrefix(sequence);
      need = AdmissionNeed(sequence, hit);
    }
    const bool has_slots = used_slots_ + sequence.slots() <= config_.max_num_sequences;
    const Room room = RoomFor(need);
    if (has_slots && room == Room::kYes) return true;
    if (has_slots && room == Room::kLater) {
      Promise(need);
      return false;
    }
    if (!CouldReclaim(sequence, hit, need)) return false;
    Sequence* victim = VictimFor(sequence, /*wants_slot=*/!has_slots);
    if (victim == nullptr) return false;
    Preempt(*victim);
  }
}

}  // namespace quire
