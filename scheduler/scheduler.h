// Continuous batching: decides what each step computes, and keeps what each request has become.
//
//   Plan    decides and reserves: admits, preempts, gives out rows and blocks, forks. It moves the
//           horizon of sequences (planned_end, blocks), never what they have.
//   Commit  makes a plan's results true: tokens, computed positions, ends. Plans commit in the
//           order in which they were planned; up to pipeline_depth may be outstanding.
//
// Laws (the simulation in tests/scheduler holds them after every step):
//   * every request ends in exactly one Finish per sequence;
//   * the oldest unpaused sequence of the highest live priority always gets on: nobody takes its
//     blocks, and whoever holds the blocks that it needs yields them;
//   * a waiting request takes from lower priorities, from paused ones, and from those that wait
//     below it (resumed and without a slot), only;
//   * in every group free + cached + referenced = total, and references equal the tables' entries;
//   * no plan exceeds max_batch_tokens rows or max_num_sequences sequences.
//
// Host code without tensors or devices. Not thread-safe: the engine thread owns it (CheckFits and
// capacity_tokens read only what never changes and may be called from anywhere).
#ifndef QUIRE_SCHEDULER_SCHEDULER_H_
#define QUIRE_SCHEDULER_SCHEDULER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/ids.h"
#include "kvcache/kv_manager.h"
#include "scheduler/request.h"
#include "scheduler/sequence.h"
#include "scheduler/step_plan.h"
#include "scheduler/tenant_shares.h"
#include "scheduler/token_event.h"
#include "scheduler/waiting_queue.h"

namespace quire {

struct SchedulerConfig {
  int64_t max_batch_tokens = 512;  // rows of one plan, >= max_num_sequences
  int max_num_sequences = 64;      // running at once
  int64_t context_tokens = 2048;   // prompt and output of one sequence
  int pipeline_depth = 1;          // plans outstanding at most
  // Whether blocks that hold generated positions may serve other prompts: only where prefill and
  // decode kernels agree to the bit.
  bool share_generated_blocks = false;
  // A prompt is computed in one step, whole (encoders, which keep nothing from step to step).
  bool whole_prompts = false;
  int64_t embedding_width = 0;                     // E, of Finish::embedding
  absl::Duration stall_limit = absl::Seconds(30);  // a paused request fails after it
};

// What EstimateCost tells of a request that is not run.
struct FitReport {
  bool fits_ever = false;
  std::vector<int64_t> blocks;  // pages per KV group at its longest, all sequences together
  bool fits_now = false;        // the next plan would admit it
  int64_t cached_tokens = 0;    // of its prompt
};

struct SchedulerStats {
  int64_t waiting = 0;    // requests never admitted yet
  int64_t preempted = 0;  // waiting, admitted before
  int64_t running = 0;
  int64_t paused = 0;
  int64_t total_prompt_tokens = 0;  // computed or cached, at first admission
  int64_t total_cached_tokens = 0;  // of them cached
  int64_t total_generated_tokens = 0;
  int64_t total_preemptions = 0;
  int64_t total_rope_switches = 0;
};

class Scheduler {
 public:
  // kv outlives the scheduler and belongs to it alone.
  Scheduler(const SchedulerConfig& config, KvManager* kv);
  ~Scheduler();

  const SchedulerConfig& config() const { return config_; }

  // The least blocks of a window group with which one sequence alone always gets on: its sinks, its
  // window, and a chunk for each outstanding plan (pages leave the window when a plan commits).
  static int64_t MinWindowBlocks(const SchedulerConfig& config, int32_t window, int32_t sinks,
                                 int block_tokens);

  // Tokens, prompt and output, that one sequence may have: the context or what the pools hold.
  int64_t capacity_tokens() const { return capacity_tokens_; }
  // OUT_OF_RANGE with the numbers for a request that can never fit.
  absl::Status CheckFits(const Request& request) const;

  // Queues a request that fits. `key` is greater than every earlier one. The rotation stays the
  // request's own to its end.
  void Add(RequestKey key, std::shared_ptr<const Request> request, absl::Time now,
           const RequestRope& rope = {});

  // Each of these does nothing for a request (or sequence) that has ended.
  void Cancel(RequestKey key, absl::Time now);
  void Fail(RequestKey key, const absl::Status& status, absl::Time now);
  // Ends a sequence with its first num_tokens tokens: a stop string was found in their text.
  void FinishAt(RequestKey key, int sequence_index, int64_t num_tokens, absl::Time now);
  // The reader stalls / reads again.
  void Pause(RequestKey key, absl::Time now);
  void Resume(RequestKey key);

  // Fewer than pipeline_depth plans are outstanding. An empty plan is not to be committed.
  StepPlan Plan(absl::Time now);
  void Commit(StepPlan plan, const StepResult& result, absl::Time now);

  // Makes `events` what happened since the last call, in order.
  void TakeEvents(std::vector<TokenEvent>& events);

  bool HasLiveRequests() const { return !requests_.empty(); }
  // When the next deadline, time limit or stall limit strikes.
  absl::Time NextExpiry() const;

  FitReport Estimate(const Request& request, const RequestRope& rope = {}) const;
  SchedulerStats stats() const;
  // Requests never admitted yet, paused ones too: what the queue's bound counts.
  int64_t num_queued() const { return num_queued_; }
  // Sequences that could run beside those that have slots.
  int num_free_slots() const { return config_.max_num_sequences - used_slots_; }
  void CheckInvariants() const;

 private:
  // scheduler.cc: the life of a request.
  LiveRequest* Find(RequestKey key) const;
  void Expire(absl::Time now);
  void FinishAll(LiveRequest& live, FinishReason reason, const absl::Status& status,
                 absl::Time now);
  void FinishSequence(Sequence& sequence, FinishReason reason, const absl::Status& status,
                      absl::Time now);
  void LeaveState(Sequence& sequence);
  void BuryDead();
  SequenceKv NewKv(const Sequence& sequence) const;

  // plan.cc
  void PlanRunning(Sequence& sequence, StepPlan& plan);
  void PlanRows(Sequence& sequence, int64_t end, StepPlan& plan);
  void PlanSamples(Sequence& sequence, StepPlan& plan);
  void PlanPromptLogprobs(Sequence& sequence, int64_t begin, int64_t end, StepPlan& plan);
  void PlanPooling(Sequence& sequence, int64_t begin, int64_t end, StepPlan& plan);
  bool TryAdmit(Sequence& sequence, StepPlan& plan, absl::Time now);
  bool MakeRoomToAdmit(Sequence& sequence, PrefixHit& hit);
  void StartRunning(Sequence& sequence);
  void NoteAdmission(Sequence& sequence, int64_t cached_tokens, absl::Time now);
  PrefixHit MatchPrefix(Sequence& sequence) const;
  GroupCounts AdmissionNeed(const Sequence& sequence, const PrefixHit& hit) const;
  void ArrangeRows(StepPlan& plan) const;
  int64_t RowsWanted(const Sequence& sequence) const;
  bool DecodesNext(const Sequence& sequence) const;
  int64_t NextEnd(const Sequence& sequence) const;
  bool OutgrowsRope(const Sequence& sequence) const;
  void SwitchRope(Sequence& sequence);

  // preemption.cc
  enum class Room { kYes, kLater, kNo };
  Room RoomFor(const GroupCounts& needed) const;
  void Promise(const GroupCounts& needed);
  bool EnsureBlocks(Sequence& sequence, int64_t end, StepPlan& plan);
  Sequence* WorstHolder() const;
  Sequence* VictimFor(const Sequence& waiting, bool wants_slot) const;
  bool CouldReclaim(const Sequence& waiting, const PrefixHit& hit, const GroupCounts& needed) const;
  void Preempt(Sequence& victim);

  // commit.cc
  void CommitEntry(const PlanEntry& entry, absl::Time now);
  void CommitSample(const PlanSample& sample, const SampledToken& sampled, absl::Time now);
  void CommitPromptLogprobs(const StepPlan& plan, const StepResult& result, absl::Time now);
  void SendPromptLogprobs(LiveRequest& live);
  void AdvanceComputed(Sequence& sequence, int64_t end);

  SchedulerConfig config_;
  KvManager* kv_;
  int64_t capacity_tokens_;

  absl::flat_hash_map<RequestKey, std::unique_ptr<LiveRequest>> requests_;
  std::vector<std::unique_ptr<LiveRequest>> dead_;  // named by outstanding plans still
  std::vector<Sequence*> running_;                  // best rank first
  std::vector<Sequence*> paused_;
  WaitingQueue waiting_;
  TenantShares shares_;
  int used_slots_ = 0;
  int64_t num_queued_ = 0;
  uint64_t num_sequences_made_ = 0;

  PlanId next_plan_{0};
  int outstanding_plans_ = 0;
  int64_t chunk_budget_ = 0;                // rows left for prefill in the plan being made
  GroupCounts promised_;                    // blocks that sequences planned so far still wait for
  std::vector<Sequence*> plan_order_;       // scratch of Plan
  mutable std::vector<Sequence*> victims_;  // scratch of CouldReclaim, as is dropped_
  mutable std::vector<int32_t> dropped_;
  std::vector<StepPlan> spare_plans_;  // their vectors keep their capacity
  std::vector<TokenEvent> events_;
  absl::Time next_expiry_ = absl::InfiniteFuture();  // no expiry is earlier
  SchedulerStats totals_;
};

}  // namespace quire

#endif  // QUIRE_SCHEDULER_SCHEDULER_H_
