// Lines on stderr for whoever runs the server.
#ifndef QUIRE_SERVER_LOG_H_
#define QUIRE_SERVER_LOG_H_

#include "absl/strings/string_view.h"

namespace quire {

// "2026-01-31T12:34:56.789Z <message>", in one write. Thread-safe.
void Log(absl::string_view message);

// Redraws "<label>  42% [####      ]" on stderr if that is a terminal; else nothing.
void DrawProgress(absl::string_view label, double share);
// Ends the bar's line.
void EndProgress();

}  // namespace quire

#endif  // QUIRE_SERVER_LOG_H_
