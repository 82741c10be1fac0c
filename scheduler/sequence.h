// The mutable side of a request. Lives on the engine thread and never leaves it.
//
// Positions of a sequence, all half-open from 0:
//   [0, num_computed)   keys and values are in the cache (committed plans)
//   [0, planned_end)    computed, or a row of an outstanding plan
//   [0, num_tokens())   token ids are known: prompt, then output
//   [0, virtual_end())  known, or drawn by an outstanding plan
#ifndef QUIRE_SCHEDULER_SEQUENCE_H_
#define QUIRE_SCHEDULER_SEQUENCE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "core/ids.h"
#include "core/rope_choice.h"
#include "core/sampling_params.h"
#include "kvcache/kv_manager.h"
#include "scheduler/request.h"
#include "scheduler/tenant_shares.h"

namespace quire {

enum class SequenceState : uint8_t {
  kFork,     // waits for sequence 0 to compute the prompt that they share
  kWaiting,  // in the queue: fresh, preempted, or resumed and without a slot
  kRunning,  // has a slot
  kPaused,   // its reader stalls: no slot; keeps its blocks until somebody needs them
  kDone,
};

struct LiveRequest;

struct Sequence {
  LiveRequest* owner = nullptr;
  int index = 0;    // of its request
  uint64_t id = 0;  // no other of the scheduler's sequences ever has it; from 1
  SequenceState state = SequenceState::kFork;

  std::vector<TokenId> output;
  SequenceKv kv;
  SequenceRope rope;
  // Positions [0, n) were computed again when the rotation switched, all as prompt rows.
  int64_t refilled = 0;
  int64_t num_computed = 0;
  int64_t planned_end = 0;
  int32_t inflight_samples = 0;  // tokens that outstanding plans draw
  uint32_t epoch = 0;            // counts preemptions: rows planned before one don't count after it
  PlanId last_plan;              // the last plan that names it
  int pending_forks = 0;         // sequence 0 only: sequences that fork from it when it first draws

  int64_t cached_tokens = 0;
  int64_t charged_prompt = 0;  // prompt rows [0, n) count in the tenant's share already, or cached
  int64_t preemptions = 0;

  inline const Request& request() const;
  inline int64_t prompt_tokens() const;
  // Positions [0, n) are computed as prompt rows.
  int64_t prompt_rows() const { return std::max(prompt_tokens(), refilled); }
  int64_t num_tokens() const { return prompt_tokens() + static_cast<int64_t>(output.size()); }
  int64_t virtual_end() const { return num_tokens() + inflight_samples; }
  inline TokenId token(int64_t position) const;
  int slots() const { return 1 + pending_forks; }
  bool HoldsBlocks() const {
    for (const BlockTable& table : kv.tables) {
      if (!table.blocks.empty()) return true;
    }
    return false;
  }
};

struct LiveRequest {
  RequestKey key;
  std::shared_ptr<const Request> request;
  RequestRope rope;
  TenantShares::Tenant* tenant = nullptr;  // while it is live
  int64_t max_new_tokens = 0;              // resolved
  std::vector<TokenId> end_ids;            // eos and stop tokens: banned below min_new_tokens
  std::vector<std::unique_ptr<Sequence>> sequences;
  int live_sequences = 0;
  bool admitted = false;  // once; counts against the queue's bound before
  bool paused = false;
  std::vector<TokenLogprobs> prompt_logprobs;  // of prompt tokens 1.., until sent
  bool prompt_logprobs_sent = false;
  // The sum of the hidden states that are pooled, [E]: rows [0, pool_planned) of the prompt have
  // been given to plans, each once and in order, and nobody else writes to it.
  std::vector<float> pool_sum;
  int64_t pool_planned = 0;

  absl::Time arrival;
  absl::Time first_admitted = absl::InfiniteFuture();
  absl::Time first_token = absl::InfiniteFuture();
  absl::Time paused_since = absl::InfiniteFuture();
};

const Request& Sequence::request() const { return *owner->request; }
int64_t Sequence::prompt_tokens() const {
  return static_cast<int64_t>(owner->request->prompt.size());
}
TokenId Sequence::token(int64_t position) const {
  const int64_t in_output = position - prompt_tokens();
  return in_output < 0 ? owner->request->prompt[position] : output[in_output];
}

// Whether a yields to b: lower priority, else the newer request, else the later fork.
inline bool RanksBelow(const Sequence& a, const Sequence& b) {
  if (a.request().priority != b.request().priority) {
    return a.request().priority < b.request().priority;
  }
  if (a.owner->key != b.owner->key) return a.owner->key > b.owner->key;
  return a.index > b.index;
}

}  // namespace quire

#endif  // QUIRE_SCHEDULER_SEQUENCE_H_
