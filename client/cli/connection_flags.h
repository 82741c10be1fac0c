// Where the server is and how long to wait for it: the same flags at every command, and the only
// place that reads the environment.
#ifndef QUIRE_CLIENT_CLI_CONNECTION_FLAGS_H_
#define QUIRE_CLIENT_CLI_CONNECTION_FLAGS_H_

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "client/client.h"

namespace quire::cli {

struct ConnectionFlags {
  std::string server = "127.0.0.1:8100";
  std::optional<double> timeout_seconds;

  CallOptions call_options() const;
};

// The timeout's default is the flags' value when this is called.
void AddConnectionFlags(CLI::App& command, ConnectionFlags& flags);

// For commands that ask one short question.
inline constexpr double kShortCallSeconds = 10;

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_CONNECTION_FLAGS_H_
