// What every call of the server may use. Outlives all calls, and the engine, whose thread hands
// work to stream_workers.
#ifndef QUIRE_SERVER_SERVICES_H_
#define QUIRE_SERVER_SERVICES_H_

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "engine/load_model.h"
#include "server/chat_template.h"
#include "server/live_requests.h"
#include "server/request_codec.h"
#include "server/worker_pool.h"
#include "server/write_watch.h"
#include "tokenizer/tokenizer.h"

namespace quire {

struct Services {
  explicit Services(absl::Duration stall_limit)
      : stall_limit(stall_limit), write_watch(std::min(stall_limit / 8, absl::Seconds(1))) {}

  const absl::Duration stall_limit;  // a reader that takes nothing for so long loses its request
  LoadedModel* model = nullptr;
  const Tokenizer* tokenizer = nullptr;  // null where the checkpoint has none
  std::string model_name;
  // Why there is none, for the requests that need it: NOT_FOUND where the checkpoint has none.
  absl::StatusOr<std::unique_ptr<const ChatTemplate>> chat_template =
      absl::NotFoundError("not loaded");
  absl::Time started;
  std::atomic<bool> draining{false};

  LiveRequests live_requests;
  // Turns tokens into messages, so that the engine's thread and gRPC's never do.
  WorkerPool stream_workers{2};
  // Tokenises prompts too long for gRPC's threads.
  WorkerPool tokenizer_workers{1, /*max_waiting=*/64};
  WriteWatch write_watch;

  Engine& engine() { return model->engine(); }
  CodecContext codec() const {
    return {.model = &model->config(), .tokenizer = tokenizer, .chat_template = &chat_template};
  }
};

}  // namespace quire

#endif  // QUIRE_SERVER_SERVICES_H_
