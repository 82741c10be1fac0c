// Sequences that wait for a slot, and who is next.
//
// Order: higher priority first; then sequences that ran before (preempted or resumed), oldest
// first; then fresh ones of the tenant that has had the least service, oldest first.
#ifndef QUIRE_SCHEDULER_WAITING_QUEUE_H_
#define QUIRE_SCHEDULER_WAITING_QUEUE_H_

#include <cstddef>
#include <vector>

#include "absl/types/span.h"
#include "scheduler/sequence.h"

namespace quire {

class WaitingQueue {
 public:
  void Push(Sequence* sequence);
  void Remove(Sequence* sequence);
  // Who is next, or null. Looks at all: ask again only after a change, or after shares changed.
  Sequence* Next() const;
  // Changes with every Push and Remove.
  size_t revision() const { return revision_; }

  absl::Span<Sequence* const> sequences() const { return waiting_; }
  bool empty() const { return waiting_.empty(); }

 private:
  std::vector<Sequence*> waiting_;
  size_t revision_ = 0;
};

}  // namespace quire

#endif  // QUIRE_SCHEDULER_WAITING_QUEUE_H_
