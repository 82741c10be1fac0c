#include "scheduler/waiting_queue.h"

#include <algorithm>

#include "core/check.h"

namespace quire {
namespace {

bool GoesBefore(const Sequence& a, const Sequence& b) {
  if (a.request().priority != b.request().priority) {
    return a.request().priority > b.request().priority;
  }
  if (a.owner->admitted != b.owner->admitted) return a.owner->admitted;
  if (!a.owner->admitted && a.owner->tenant != b.owner->tenant) {
    const int64_t served_a = a.owner->tenant->served();
    const int64_t served_b = b.owner->tenant->served();
    if (served_a != served_b) return served_a < served_b;
  }
  return RanksBelow(b, a);
}

}  // namespace

void WaitingQueue::Push(Sequence* sequence) {
  waiting_.push_back(sequence);
  ++revision_;
}

void WaitingQueue::Remove(Sequence* sequence) {
  const auto found = std::find(waiting_.begin(), waiting_.end(), sequence);
  QUIRE_CHECK(found != waiting_.end()) << "request " << sequence->owner->key;
  *found = waiting_.back();
  waiting_.pop_back();
  ++revision_;
}

Sequence* WaitingQueue::Next() const {
  Sequence* next = nullptr;
  for (Sequence* candidate : waiting_) {
    if (next == nullptr || GoesBefore(*candidate, *next)) next = candidate;
  }
  return next;
}

}  // namespace quire
