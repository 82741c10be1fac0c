// quire-server: load, serve, drain.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/device_failure.h"
#include "core/file.h"
#include "core/json.h"
#include "core/status_macros.h"
#include "core/steady_time.h"
#include "server/end_signals.h"
#include "server/flags.h"
#include "server/grpc_server.h"
#include "server/load_progress.h"
#include "server/log.h"
#include "server/memory_table.h"
#include "server/model_directory.h"
#include "server/services.h"

namespace quire {
namespace {

// How long the last events of ended requests may take to reach their clients.
constexpr absl::Duration kLastWrites = absl::Seconds(5);

absl::StatusOr<std::unique_ptr<const Tokenizer>> LoadTokenizer(const ServerFlags& flags) {
  const std::string path = flags.load.model + "/tokenizer.json";
  if (FileExists(path)) return Tokenizer::FromFile(path);
  Log(absl::StrCat("no ", path, ": requests must send token ids and get no text"));
  return std::unique_ptr<const Tokenizer>();
}

absl::StatusOr<std::unique_ptr<LoadedModel>> LoadModel(const ServerFlags& flags) {
  const bool is_terminal = isatty(STDERR_FILENO) != 0;
  LoadReport report(is_terminal, [&](absl::string_view text) {
    if (!is_terminal) return Log(text);
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  });
  LoadProgress progress;
  if (flags.progress_bar) {
    progress = [&](int64_t done, int64_t total) { report.Show(done, total, SteadyNow()); };
  }
  LoadOptions load = flags.load;
  load.backend.log = [](absl::string_view line) { Log(line); };
  auto model = LoadedModel::Load(load, progress);
  report.End();
  return model;
}

void LogModel(LoadedModel& model) {
  const ModelConfig& config = model.config();
  if (!model.unused_tensors().empty()) {
    const auto quote = [](std::string* out, const std::string& name) { *out += Quoted(name); };
    Log(absl::StrCat("left over in the checkpoint: ",
                     absl::StrJoin(model.unused_tensors(), ", ", quote)));
  }
  Log(absl::StrCat(config.architecture, " in ", DTypeName(model.act_dtype()), " on ",
                   model.device()));
  for (const std::string& line :
       FormatMemoryTable(model.memory_budget(), model.engine().config().kv)) {
    Log(line);
  }
  if (!model.executor().empty()) Log(model.executor());
  if (!model.is_batch_invariant()) {
    Log("batch invariance is off: a request's tokens may depend on what else is served");
  }
  Log(absl::StrCat("a sequence may have ", model.engine().capacity_tokens(), " tokens; ",
                   model.engine().config().scheduler.max_num_sequences, " run at once; ",
                   model.kv_bytes_per_token(), " KV bytes per token"));
}

// Live requests may end by themselves for a while.
void Drain(const ServerFlags& flags, Services& services, GrpcServer& server) {
  Log(absl::StrCat("draining for at most ", absl::FormatDuration(flags.drain_limit),
                   "; a second signal ends at once"));
  services.draining = true;
  server.StopBeingReady();
  services.engine().BeginDrain();
  const bool idle = services.engine().AwaitIdle(SteadyNow() + flags.drain_limit);
  if (!idle) {
    Log("the drain limit has passed: ending what is left");
    services.engine().EndAll(absl::UnavailableError("the server is shutting down"));
    services.engine().AwaitIdle(absl::InfiniteFuture());  // the step under way, however long
  }
  // Last events may still be on their way to slow readers. Then only idle connections are open,
  // which clients would close in their own time.
  services.live_requests.AwaitNone(SteadyNow() + kLastWrites);
  server.Shutdown();
}

// Clients hear of a lost device before the process ends.
void EndStreamsWithTheDevice(Services& services, GrpcServer& server) {
  SetDeviceFailureHandler([&](const std::string& line) {
    services.draining = true;
    server.StopBeingReady();
    services.engine().Abandon(
        absl::UnavailableError(absl::StrCat("the server has lost its device: ", line)));
    services.live_requests.AwaitNone(SteadyNow() + kLastWrites);
  });
}

absl::Status Serve(const ServerFlags& flags, EndSignals& signals) {
  const absl::Time start = SteadyNow();
  // What can be wrong is said before the long part.
  QUIRE_RETURN_IF_ERROR(CheckModelDirectory(flags.load.model));
  QUIRE_RETURN_IF_ERROR(CheckCanListen(flags.listen));
  Services services(flags.load.stall_limit);
  QUIRE_ASSIGN_OR_RETURN(const std::unique_ptr<const Tokenizer> tokenizer, LoadTokenizer(flags));
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<LoadedModel> model, LoadModel(flags));
  LogModel(*model);

  services.model = model.get();
  services.tokenizer = tokenizer.get();
  services.model_name = std::filesystem::path(flags.load.model + "/").parent_path().filename();
  services.chat_template = ChatTemplate::Load(flags.load.model);
  if (const absl::Status& status = services.chat_template.status();
      !status.ok() && !absl::IsNotFound(status)) {
    Log(status.message());
  }
  services.started = SteadyNow();
  QUIRE_ASSIGN_OR_RETURN(const std::unique_ptr<GrpcServer> server,
                         GrpcServer::Start(services, flags.listen));
  EndStreamsWithTheDevice(services, *server);
  Log(absl::StrFormat("ready in %.2f s", absl::ToDoubleSeconds(SteadyNow() - start)));
  signals.StartServing();
  std::printf("quire-server ready on %s\n", server->address().c_str());
  std::fflush(stdout);
  signals.Await();
  Drain(flags, services, *server);
  SetDeviceFailureHandler(nullptr);
  services.tokenizer_workers.Stop();  // their tasks submit to the engine
  model.reset();                      // joins the engine's thread
  Log("stopped");
  return absl::OkStatus();
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) {
  const quire::ParsedFlags parsed = quire::ParseFlags(argc, argv);
  if (!parsed.flags) return parsed.exit_code;
  static quire::EndSignals signals;
  const absl::Status status = quire::Serve(*parsed.flags, signals);
  if (status.ok()) return 0;
  std::fprintf(stderr, "quire-server: %s\n", std::string(status.message()).c_str());
  return 1;
}
