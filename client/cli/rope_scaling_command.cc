// quire rope-scaling: another rotary scaling for later requests.
#include <cstdio>
#include <memory>
#include <string>

#include "client/cli/commands.h"
#include "client/cli/connection_flags.h"
#include "client/cli/error_line.h"
#include "client/client.h"
#include "proto/rope_scaling_text.h"

namespace quire::cli {
namespace {

struct RopeScalingFlags {
  ConnectionFlags connection{.timeout_seconds = kShortCallSeconds};
  std::string scaling;
};

CLI::Validator IsRopeScaling() {
  return CLI::Validator(
      [](std::string& text) { return std::string(ParseRopeScaling(text).status().message()); }, "");
}

int SetRopeScaling(const RopeScalingFlags& flags) {
  const Client client(flags.connection.server);
  const auto response = client.SetRopeScaling(ParseRopeScaling(flags.scaling).value(),
                                              flags.connection.call_options());
  if (!response.ok()) return Fail(response.status());
  std::puts(response->rope_scaling().c_str());
  return kExitOk;
}

}  // namespace

void AddRopeScalingCommand(CLI::App& app, Run& run) {
  CLI::App& command = *app.add_subcommand(
      "rope-scaling", "Scales the rotary embeddings of later requests; live ones keep theirs");
  const auto flags = std::make_shared<RopeScalingFlags>();
  command
      .add_option("SCALING", flags->scaling,
                  "linear:FACTOR, ntk:FACTOR, dynamic:FACTOR[:ORIGINAL], yarn:FACTOR[:ORIGINAL], "
                  "none, or model: what config.json says. ORIGINAL is the context that the model "
                  "was first trained for")
      ->required()
      ->check(IsRopeScaling())
      ->type_name("");
  AddConnectionFlags(command, flags->connection);
  command.callback([flags, &run] { run = [flags] { return SetRopeScaling(*flags); }; });
}

}  // namespace quire::cli
