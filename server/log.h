// Lines on stderr for whoever runs the server.
#ifndef QUIRE_SERVER_LOG_H_
#define QUIRE_SERVER_LOG_H_

#include "absl/strings/string_view.h"

namespace quire {

// "2026-01-31T12:34:56.789Z <message>", in one write. Thread-safe.
void Log(absl::string_view message);

}  // namespace quire

#endif  // QUIRE_SERVER_LOG_H_
