#include "client/cli/connection_flags.h"

#include "absl/strings/str_cat.h"

namespace quire::cli {

CallOptions ConnectionFlags::call_options() const {
  if (!timeout_seconds) return {};
  return {.timeout = absl::Seconds(*timeout_seconds)};
}

void AddConnectionFlags(CLI::App& command, ConnectionFlags& flags) {
  command.add_option("--server", flags.server, "HOST:PORT or unix:PATH of the server")
      ->envname("QUIRE_SERVER")
      ->capture_default_str()
      ->type_name("ADDRESS")
      ->group("Connection");
  const std::string unless = flags.timeout_seconds
                                 ? absl::StrCat(*flags.timeout_seconds, " unless given")
                                 : "none unless given";
  command
      .add_option("--timeout", flags.timeout_seconds,
                  absl::StrCat("Seconds after which a call ends with DEADLINE_EXCEEDED; ", unless))
      ->check(CLI::Range(0.001, 1e6))
      ->type_name("SECONDS")
      ->group("Connection");
}

}  // namespace quire::cli
