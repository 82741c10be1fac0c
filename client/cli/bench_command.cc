// quire bench: load on a server, measured from the client's side.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/bench/arrivals.h"
#include "client/bench/load_generator.h"
#include "client/bench/metrics.h"
#include "client/bench/report.h"
#include "client/bench/workload.h"
#include "client/cli/bench_flags.h"
#include "client/cli/commands.h"
#include "client/cli/error_line.h"
#include "client/cli/interrupt.h"
#include "client/cli/json.h"
#include "client/client.h"

namespace quire::cli {
namespace {

constexpr int kDefaultNumPrompts = 100;
constexpr absl::Duration kConnectTimeout = absl::Seconds(10);

absl::StatusOr<std::vector<v1::GenerateRequest>> MakeRequests(const BenchFlags& flags,
                                                              const v1::ModelInfo& model) {
  const GenerateParams common = {.ignore_eos = !flags.stop_at_eos,
                                 .temperature = flags.temperature,
                                 .seed = flags.seed,
                                 .token_ids = true,  // tokens are counted by their ids
                                 .bypass_prefix_cache = flags.no_cache};
  if (!flags.dataset.empty()) {
    return bench::ReadDataset(flags.dataset, flags.num_prompts, flags.output_len, common);
  }
  const bench::RandomWorkload workload = {
      .num_prompts = flags.num_prompts > 0 ? flags.num_prompts : kDefaultNumPrompts,
      .vocab_size = model.vocab_size(),
      .prefix_len = flags.prefix_len,
      .input_len = flags.input_len,
      .output_len = flags.output_len,
      .range_ratio = flags.range_ratio,
      .seed = flags.seed};
  if (bench::LongestRequest(workload) > model.capacity_tokens()) {
    return absl::OutOfRangeError(
        absl::StrCat("a request could need ", bench::LongestRequest(workload),
                     " tokens, prompt and output; the server takes ", model.capacity_tokens(),
                     ": lower --prefix-len, --input-len or --output-len"));
  }
  return bench::MakeRandomWorkload(workload, common);
}

absl::StatusOr<std::vector<std::unique_ptr<Connection>>> Connect(const BenchFlags& flags) {
  std::vector<std::unique_ptr<Connection>> connections;
  for (int i = 0; i < flags.num_connections; ++i) {
    connections.push_back(std::make_unique<Connection>(flags.connection.server,
                                                       ChannelOptions{.own_connection = true}));
    // Before the clock runs: a handshake is no part of a request.
    const absl::Status connected = connections.back()->Await(kConnectTimeout);
    if (!connected.ok()) return connected;
  }
  return connections;
}

std::vector<v1::GenerateRequest> WarmupOf(const std::vector<v1::GenerateRequest>& requests,
                                          int count) {
  std::vector<v1::GenerateRequest> warmup;
  for (int i = 0; i < count; ++i) {
    warmup.push_back(requests[i % requests.size()]);
    warmup.back().set_bypass_prefix_cache(true);
  }
  return warmup;
}

// A line that overwrites itself, for people who wait.
void DrawProgress(size_t total, int done, int running) {
  std::fprintf(stderr, "\r%d of %zu done, %d running\033[K", done, total, running);
}

void EndProgress() { std::fputs("\r\033[K", stderr); }

// One line for each status: what the first such request was told.
void PrintFailures(const std::vector<bench::RequestRecord>& records) {
  std::set<absl::StatusCode> told;
  for (const bench::RequestRecord& record : records) {
    if (record.status.ok() || !told.insert(record.status.code()).second) continue;
    std::fprintf(stderr, "quire: a request failed: %s\n", ErrorLine(record.status).c_str());
  }
}

absl::Status WriteJson(const std::string& file, const nlohmann::ordered_json& json) {
  std::ofstream out(file);
  out << Dump(json, 2) << "\n";
  out.close();
  if (!out) return absl::UnavailableError(absl::StrCat("cannot write ", file));
  return absl::OkStatus();
}

std::vector<bench::RequestRecord> RunLoad(const BenchFlags& flags,
                                          const std::vector<v1::GenerateRequest>& requests,
                                          bench::LoadGenerator& generator) {
  bench::LoadOptions options;
  options.max_concurrency = flags.max_concurrency;
  options.timeout = flags.connection.call_options().timeout;
  generator.Run(WarmupOf(requests, flags.num_warmups), options);
  if (!std::isinf(flags.requests_per_s)) {
    options.arrivals_s = bench::ArrivalTimes(static_cast<int>(requests.size()),
                                             flags.requests_per_s, flags.burstiness, flags.seed);
  }
  const bool shows_progress = isatty(STDERR_FILENO) != 0;
  if (shows_progress) {
    options.progress = [total = requests.size()](int done, int running) {
      DrawProgress(total, done, running);
    };
  }
  std::vector<bench::RequestRecord> records = generator.Run(requests, options);
  if (shows_progress) EndProgress();
  return records;
}

// Prints and saves; the exit code.
int Report(const BenchFlags& flags, const std::string& model, size_t num_prompts,
           const std::vector<bench::RequestRecord>& records) {
  const bench::RunDescription run = {
      .model = model,
      .server = flags.connection.server,
      .date = absl::FormatTime("%Y%m%d-%H%M%S", absl::Now(), absl::LocalTimeZone()),
      .num_prompts = static_cast<int>(num_prompts),
      .requests_per_s = flags.requests_per_s,
      .burstiness = flags.burstiness,
      .max_concurrency = flags.max_concurrency,
      .percentiles = flags.percentiles};
  const bench::Metrics metrics =
      bench::Measure(records, bench::ParseGoodput(flags.goodput).value(), flags.percentiles);
  std::fputs(bench::ReportBlock(run, metrics).c_str(), stdout);
  PrintFailures(records);
  if (!flags.json_file.empty()) {
    const absl::Status written =
        WriteJson(flags.json_file, bench::ReportJson(run, metrics, records, flags.detailed));
    if (!written.ok()) return Fail(written);
  }
  return metrics.completed > 0 ? kExitOk : kExitFailed;
}

int Bench(const BenchFlags& flags) {
  // Before any other thread; never destroyed, because its own thread never ends.
  static Interrupt& interrupt = *new Interrupt;
  const Client client(flags.connection.server);
  const auto model = client.GetModelInfo({.timeout = kConnectTimeout});
  if (!model.ok()) return Fail(model.status());
  const auto requests = MakeRequests(flags, *model);
  if (!requests.ok()) return Fail(requests.status());
  const auto connections = Connect(flags);
  if (!connections.ok()) return Fail(connections.status());

  std::vector<const Connection*> borrowed;
  for (const auto& connection : *connections) borrowed.push_back(connection.get());
  bench::LoadGenerator generator(borrowed);
  const Interrupt::Scope scope(interrupt, [&generator] { generator.Cancel(); });
  const std::vector<bench::RequestRecord> records = RunLoad(flags, *requests, generator);
  const int exit_code = Report(flags, model->name(), requests->size(), records);
  return interrupt.exit_code() != 0 ? interrupt.exit_code() : exit_code;
}

}  // namespace

void AddBenchCommand(CLI::App& app, Run& run) {
  CLI::App& command = *app.add_subcommand(
      "bench", "Loads a server and measures TTFT, TPOT, ITL, E2EL and throughput");
  const auto flags = std::make_shared<BenchFlags>();
  AddBenchFlags(command, *flags);
  command.footer(
      "Prints the block of vllm bench serve. Ctrl-C ends the load and reports what there\n"
      "is. Exits 1 if no request succeeded.");
  command.callback([flags, &run] { run = [flags] { return Bench(*flags); }; });
}

}  // namespace quire::cli
