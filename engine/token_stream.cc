#include "engine/token_stream.h"

#include <utility>

namespace quire {

TokenStream::TokenStream(std::function<void()> on_ready, std::function<void()> on_drained)
    : on_ready_(std::move(on_ready)), on_drained_(std::move(on_drained)) {}

std::vector<TokenEvent> TokenStream::Take() {
  std::vector<TokenEvent> events;
  bool drained = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    events.swap(waiting_);
    drained = std::exchange(stalled_, false);
  }
  if (drained) on_drained_();
  return events;
}

bool TokenStream::Push(TokenEvent event) {
  bool was_empty = false;
  bool stalls = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    was_empty = waiting_.empty();
    waiting_.push_back(std::move(event));
    stalls = !stalled_ && waiting_.size() > kMaxWaitingEvents;
    stalled_ = stalled_ || stalls;
  }
  if (was_empty) on_ready_();
  return stalls;
}

}  // namespace quire
