// What one request's client still has to read. Thread-safe: the engine thread pushes, one reader
// takes.
#ifndef QUIRE_ENGINE_TOKEN_STREAM_H_
#define QUIRE_ENGINE_TOKEN_STREAM_H_

#include <cstddef>
#include <functional>
#include <mutex>
#include <vector>

#include "scheduler/token_event.h"

namespace quire {

class TokenStream {
 public:
  // A stream with more waiting events than this is stalled: its request pauses until they are
  // taken.
  static constexpr size_t kMaxWaitingEvents = 256;

  // `on_ready` is called on the engine thread when events wait where none did before; it must not
  // block. `on_drained` is called by the reader's Take that ends a stall.
  TokenStream(std::function<void()> on_ready, std::function<void()> on_drained);

  // Everything that waits, in order.
  std::vector<TokenEvent> Take();

  // Engine thread. True when this push stalls the stream.
  bool Push(TokenEvent event);

 private:
  const std::function<void()> on_ready_;
  const std::function<void()> on_drained_;
  std::mutex mutex_;
  std::vector<TokenEvent> waiting_;  // guarded by mutex_
  bool stalled_ = false;             // guarded by mutex_
};

}  // namespace quire

#endif  // QUIRE_ENGINE_TOKEN_STREAM_H_
