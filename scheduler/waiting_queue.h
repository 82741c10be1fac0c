// Sequences that wait for a slot, and who is next.
//
// Order: higher priority first; then sequences that ran before (preempted or resumed), oldest
// first; then fresh ones of the tenant that has had the least service, oldest first.
#ifndef QUIRE_SCHEDULER_WAITING_QUEUE_H_
#define QUIRE_SCHEDULER_WAITING_QUEUE_H_

#include <vector>

#include "absl/types/span.h"
#include "scheduler/sequence.h"
#include "scheduler/tenant_shares.h"

namespace quire {

class WaitingQueue {
 public:
  void Push(Sequence* sequence) { waiting_.push_back(sequence); }
  void Remove(Sequence* sequence);
  // Who is next, or null.
  Sequence* Next(const TenantShares& shares) const;

  absl::Span<Sequence* const> sequences() const { return waiting_; }
  bool empty() const { return waiting_.empty(); }

 private:
  std::vector<Sequence*> waiting_;  // bounded by the engine's queue and slots: a scan is cheap
};

}  // namespace quire

#endif  // QUIRE_SCHEDULER_WAITING_QUEUE_H_
