// The server's command line: the only place that reads flags and the environment.
#ifndef QUIRE_SERVER_FLAGS_H_
#define QUIRE_SERVER_FLAGS_H_

#include <optional>

#include "absl/time/time.h"
#include "engine/load_model.h"
#include "server/listen_address.h"

namespace quire {

struct ServerFlags {
  LoadOptions load;
  ListenAddress listen;
  absl::Duration drain_limit;
  bool progress_bar = true;
};

// What main should do.
struct ParsedFlags {
  std::optional<ServerFlags> flags;  // unset: exit now
  int exit_code = 0;                 // with this
};

// Prints help, the version or one line about what is wrong. Each flag can also be given as an
// environment variable: QUIRE_MAX_QUEUE for --max-queue.
ParsedFlags ParseFlags(int argc, char** argv);

}  // namespace quire

#endif  // QUIRE_SERVER_FLAGS_H_
