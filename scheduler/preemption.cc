// Who yields blocks and slots, and to whom.
#include <algorithm>
#include <cstdint>

#include "core/check.h"
#include "scheduler/scheduler.h"

namespace quire {
namespace {

// Whether a is the better victim: paused ones first, then the lowest rank.
bool YieldsBefore(const Sequence& a, const Sequence& b) {
  const bool a_paused = a.state == SequenceState::kPaused;
  const bool b_paused = b.state == SequenceState::kPaused;
  return a_paused != b_paused ? a_paused : RanksBelow(a, b);
}

// What a waiting sequence may take from. A paused one gets on with nothing, so it yields to anyone;
// of those that wait (resumed ones hold blocks) the last in rank must yield, or none would get on.
bool MayTakeFrom(const Sequence& waiting, const Sequence& holder) {
  if (holder.state == SequenceState::kPaused) return true;
  if (holder.state == SequenceState::kWaiting) return RanksBelow(holder, waiting);
  return holder.request().priority < waiting.request().priority;
}

}  // namespace

Scheduler::Room Scheduler::RoomFor(const GroupCounts& needed) const {
  const GroupCounts releasing = kv_->Releasing();
  Room room = Room::kYes;
  for (int group = 0; group < kv_->num_groups(); ++group) {
    const int32_t available = kv_->pool(group).num_available() - promised_[group];
    if (needed[group] > available + releasing[group]) return Room::kNo;
    if (needed[group] > available) room = Room::kLater;
  }
  return room;
}

// The sequence waits for blocks that outstanding plans still hold: lower ranks, which are planned
// after it, may not take what is there meanwhile.
void Scheduler::Promise(const GroupCounts& needed) {
  for (int group = 0; group < kv_->num_groups(); ++group) promised_[group] += needed[group];
}

// Reserves the blocks of rows [planned_end, end), from lower ranks if need be. False when the
// sequence must wait: for a plan to commit, or because it yielded itself.
bool Scheduler::EnsureBlocks(Sequence& sequence, int64_t end, StepPlan& plan) {
  const int64_t begin = sequence.planned_end;
  const int64_t full_end = RowsWanted(sequence);
  while (true) {
    const GroupCounts needed = kv_->BlocksNeeded(sequence.kv, begin, end, full_end);
    switch (RoomFor(needed)) {
      case Room::kYes:
        kv_->Reserve(sequence.kv, begin, end, full_end, plan.id, plan.copies);
        return true;
      case Room::kLater:
        Promise(needed);
        return false;
      case Room::kNo:
        break;
    }
    Sequence* victim = WorstHolder();
    // All blocks are with better ones: a sequence whose window has moved past its blocks, or that
    // has none yet, waits where it is.
    if (victim == nullptr || (victim != &sequence && YieldsBefore(sequence, *victim))) return false;
    Preempt(*victim);
    if (victim == &sequence) return false;
  }
}

Sequence* Scheduler::WorstHolder() const {
  Sequence* worst = nullptr;
  const auto consider = [&](absl::Span<Sequence* const> sequences) {
    for (Sequence* candidate : sequences) {
      if (!candidate->HoldsBlocks()) continue;
      if (worst == nullptr || YieldsBefore(*candidate, *worst)) worst = candidate;
    }
  };
  consider(running_);
  consider(paused_);
  consider(waiting_.sequences());
  return worst;
}

Sequence* Scheduler::VictimFor(const Sequence& waiting, bool wants_slot) const {
  Sequence* worst = nullptr;
  const auto consider = [&](absl::Span<Sequence* const> sequences) {
    for (Sequence* candidate : sequences) {
      if (!MayTakeFrom(waiting, *candidate)) continue;
      if (!wants_slot && !candidate->HoldsBlocks()) continue;
      if (worst == nullptr || YieldsBefore(*candidate, *worst)) worst = candidate;
    }
  };
  consider(running_);
  if (!wants_slot) {
    consider(paused_);
    consider(waiting_.sequences());
  }
  return worst;
}

// Whether preempting everyone that `waiting` may take from would make room for it: else nobody is.
bool Scheduler::CouldReclaim(const Sequence& waiting, const PrefixHit& hit,
                             const GroupCounts& needed) const {
  int slots = config_.max_num_sequences - used_slots_;
  victims_.clear();
  const auto consider = [&](absl::Span<Sequence* const> sequences) {
    for (Sequence* candidate : sequences) {
      if (MayTakeFrom(waiting, *candidate)) victims_.push_back(candidate);
    }
  };
  consider(running_);
  for (const Sequence* victim : victims_) slots += victim->slots();
  if (slots < waiting.slots()) return false;
  consider(paused_);
  consider(waiting_.sequences());

  const GroupCounts releasing = kv_->Releasing();
  for (int group = 0; group < kv_->num_groups(); ++group) {
    const BlockPool& pool = kv_->pool(group);
    dropped_.assign(pool.num_blocks(), 0);  // references that the victims hold, per block
    if (!hit.held.empty()) {                // what the victims drop of it, it takes up itself
      for (BlockId block : hit.held[group]) dropped_[block.value()] = INT32_MIN / 2;
    }
    // As the last holder of its tail it needs no copy of it, which is a block gained too.
    const BlockTable& own = waiting.kv.tables[group];
    const auto tail = static_cast<int32_t>(waiting.planned_end / kv_->config().block_tokens);
    if (!own.blocks.empty() && tail < own.end_block()) dropped_[own.At(tail).value()] = 1;
    int32_t reclaimed = 0;
    for (const Sequence* victim : victims_) {
      for (BlockId block : victim->kv.tables[group].blocks) {
        reclaimed += ++dropped_[block.value()] == pool.references(block) ? 1 : 0;
      }
    }
    const int32_t available = pool.num_available() - promised_[group];
    if (needed[group] > available + releasing[group] + reclaimed) return false;
  }
  return true;
}

// Takes the sequence's blocks away. It will be computed again, each row by the kind of kernel that
// computed it first, and draws on from where it was.
void Scheduler::Preempt(Sequence& victim) {
  kv_->ReleaseAll(victim.kv, victim.last_plan);
  victim.num_computed = 0;
  victim.planned_end = 0;
  ++victim.epoch;
  ++victim.preemptions;
  ++totals_.total_preemptions;
  if (victim.state != SequenceState::kRunning) return;
  LeaveState(victim);
  victim.state = SequenceState::kWaiting;
  waiting_.Push(&victim);
}

}  // namespace quire
