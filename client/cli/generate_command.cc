// quire generate: a prompt in, text out as it comes.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "client/cli/commands.h"
#include "client/cli/connection_flags.h"
#include "client/cli/error_line.h"
#include "client/cli/generate_output.h"
#include "client/cli/graceful_end.h"
#include "client/cli/interrupt.h"
#include "client/cli/request_flags.h"
#include "client/client.h"

namespace quire::cli {
namespace {

struct GenerateFlags {
  ConnectionFlags connection;
  RequestFlags request;
  bool json = false;
  bool json_lines = false;
  bool verbose = false;

  OutputForm form() const {
    return json ? OutputForm::kJson : json_lines ? OutputForm::kJsonLines : OutputForm::kText;
  }
};

void AddOutputFlags(CLI::App& command, GenerateFlags& flags) {
  GenerateParams& params = flags.request.params;
  const auto json = command.add_flag("--json", flags.json,
                                     "One JSON object with the whole result: text, token ids, "
                                     "finish reason, usage, timings, seed");
  json->group("Output");
  command.add_flag("--json-stream", flags.json_lines, "Each event as a line of JSON, as it comes")
      ->excludes(json)
      ->group("Output");
  command
      .add_option("--logprobs", params.top_logprobs,
                  "Log-probabilities of the tokens and of the K likeliest beside them, 0 to 20; "
                  "with --json or --json-stream")
      ->type_name("K")
      ->group("Output");
  command
      .add_flag("--prompt-logprobs", params.prompt_logprobs,
                "Those of the prompt too; with --json or --json-stream")
      ->group("Output");
  command.add_flag("--echo", params.echo_prompt, "The prompt before the text")->group("Output");
  command
      .add_flag("--verbose,-v", flags.verbose,
                "A line on standard error at the end: tokens, tok/s, TTFT, finish reason. A "
                "terminal gets it anyway")
      ->group("Output");
}

// Reads the stream to its end; the times as this side saw them.
CallTimes PrintEvents(GenerateStream& stream, absl::Time start, GenerateOutput& output,
                      ResponseCollector& collector, GracefulEnd& end) {
  CallTimes times;
  for (const v1::GenerateEvent& event : stream) {
    if (times.first_token == absl::ZeroDuration() && event.delta().token_ids_size() > 0) {
      times.first_token = absl::Now() - start;
    }
    if (event.has_started()) end.SetRequestId(event.started().request_id());
    collector.Add(event);
    output.Add(event, collector);
  }
  times.total = absl::Now() - start;
  return times;
}

int Generate(const GenerateFlags& flags) {
  // Before any other thread; never destroyed, because its own thread never ends.
  static Interrupt& interrupt = *new Interrupt;
  const absl::StatusOr<v1::GenerateRequest> request = BuildRequest(flags.request);
  if (!request.ok()) return Fail(request.status());

  const Client client(flags.connection.server);
  const auto output = GenerateOutput::Make(
      flags.form(), static_cast<int>(flags.request.params.num_sequences.value_or(1)), stdout);
  ResponseCollector collector;
  const absl::Time start = absl::Now();
  GenerateStream stream = client.Stream(*request, flags.connection.call_options());
  CallTimes times;
  absl::Status status;
  {
    GracefulEnd end(client, stream, request->tenant());
    const Interrupt::Scope scope(interrupt, [&end] { end.Begin(); });
    times = PrintEvents(stream, start, *output, collector, end);
    status = stream.Finish();
  }

  output->End(collector, status);
  if (collector.started() && (flags.verbose || isatty(STDERR_FILENO) != 0)) {
    std::fprintf(stderr, "[%s]\n", SummaryLine(collector.response(), times).c_str());
  }
  if (interrupt.exit_code() != 0) return interrupt.exit_code();
  return status.ok() ? kExitOk : Fail(status);
}

}  // namespace

void AddGenerateCommand(CLI::App& app, Run& run) {
  CLI::App& command = *app.add_subcommand("generate", "Continues a prompt; prints as tokens come");
  const auto flags = std::make_shared<GenerateFlags>();
  // Tokens are counted here too, where the call may end before the server tells.
  flags->request.params.token_ids = true;
  AddRequestFlags(command, flags->request);
  AddOutputFlags(command, *flags);
  AddConnectionFlags(command, flags->connection);
  command.footer(
      "Ctrl-C ends the request on the server, and what has come is the result; a second\n"
      "one ends quire at once.");
  command.callback([flags, &run] {
    const GenerateParams& params = flags->request.params;
    if (flags->form() == OutputForm::kText && (params.top_logprobs || params.prompt_logprobs)) {
      throw CLI::ValidationError("log-probabilities", "need --json or --json-stream");
    }
    run = [flags] { return Generate(*flags); };
  });
}

}  // namespace quire::cli
