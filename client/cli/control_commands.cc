// quire cost, abort and health: one call, one answer.
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/commands.h"
#include "client/cli/connection_flags.h"
#include "client/cli/error_line.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/request_flags.h"
#include "client/cli/text_input.h"
#include "client/client.h"

namespace quire::cli {
namespace {

struct CostFlags {
  ConnectionFlags connection{.timeout_seconds = kShortCallSeconds};
  RequestFlags request;
  bool json = false;
};

std::string CostText(const v1::CostEstimate& cost) {
  std::string text = absl::StrFormat(
      "prompt    %d tokens, %d of them cached\n"
      "KV cache  %d blocks, %s at its longest\n",
      cost.prompt_tokens(), cost.cached_prompt_tokens(), cost.kv_blocks(),
      FormatBytes(cost.kv_bytes()));
  if (!cost.fits_ever()) {
    absl::StrAppend(&text, "fits      never: ", cost.refusal(), "\n");
  } else {
    absl::StrAppend(&text, "fits      ", cost.fits_now() ? "now\n" : "once other requests end\n");
  }
  return text;
}

int Cost(const CostFlags& flags) {
  const auto request = BuildRequest(flags.request);
  if (!request.ok()) return Fail(request.status());
  const Client client(flags.connection.server);
  const auto cost = client.EstimateCost(*request, flags.connection.call_options());
  if (!cost.ok()) return Fail(cost.status());
  std::fputs(flags.json ? (Dump(ToJson(*cost), 2) + "\n").c_str() : CostText(*cost).c_str(),
             stdout);
  return kExitOk;
}

struct AbortFlags {
  ConnectionFlags connection{.timeout_seconds = kShortCallSeconds};
  std::string request_id;
  std::string tenant;
};

int Abort(const AbortFlags& flags) {
  const Client client(flags.connection.server);
  v1::AbortRequest request;
  request.set_request_id(flags.request_id);
  request.set_tenant(flags.tenant);
  const auto response = client.Abort(request, flags.connection.call_options());
  if (!response.ok()) return Fail(response.status());
  std::puts(response->aborted() ? "aborted" : "not live");
  return kExitOk;
}

struct HealthFlags {
  ConnectionFlags connection{.timeout_seconds = kShortCallSeconds};
  std::string service;
};

int Health(const HealthFlags& flags) {
  const Client client(flags.connection.server);
  const absl::Status status = client.CheckHealth(flags.service, flags.connection.call_options());
  if (!status.ok()) return Fail(status);
  std::puts("SERVING");
  return kExitOk;
}

}  // namespace

void AddCostCommand(CLI::App& app, Run& run) {
  CLI::App& command =
      *app.add_subcommand("cost", "What a request would take, and whether it fits; runs nothing");
  const auto flags = std::make_shared<CostFlags>();
  AddRequestFlags(command, flags->request);
  command.add_flag("--json", flags->json, "One JSON object")->group("Output");
  AddConnectionFlags(command, flags->connection);
  command.callback([flags, &run] { run = [flags] { return Cost(*flags); }; });
}

void AddAbortCommand(CLI::App& app, Run& run) {
  CLI::App& command = *app.add_subcommand(
      "abort", "Ends a live request; prints aborted or not live, and both are success");
  const auto flags = std::make_shared<AbortFlags>();
  command.add_option("ID", flags->request_id, "The request's id")
      ->required()
      ->check(IsUtf8())
      ->type_name("");
  command.add_option("--tenant", flags->tenant, "The tenant that the request runs for")
      ->check(IsUtf8())
      ->type_name("NAME");
  AddConnectionFlags(command, flags->connection);
  command.callback([flags, &run] { run = [flags] { return Abort(*flags); }; });
}

void AddHealthCommand(CLI::App& app, Run& run) {
  CLI::App& command = *app.add_subcommand(
      "health", "Prints SERVING and exits 0 while the server takes requests; else exits 1");
  const auto flags = std::make_shared<HealthFlags>();
  command
      .add_option("--service", flags->service,
                  "A gRPC service's full name; the server as a whole if unset")
      ->check(IsUtf8())
      ->type_name("NAME");
  AddConnectionFlags(command, flags->connection);
  command.callback([flags, &run] { run = [flags] { return Health(*flags); }; });
}

}  // namespace quire::cli
