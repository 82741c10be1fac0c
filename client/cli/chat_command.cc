// quire chat: a conversation in the terminal.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cli/chat_input.h"
#include "client/cli/chat_session.h"
#include "client/cli/commands.h"
#include "client/cli/connection_flags.h"
#include "client/cli/error_line.h"
#include "client/cli/generate_output.h"
#include "client/cli/graceful_end.h"
#include "client/cli/interrupt.h"
#include "client/cli/json.h"
#include "client/cli/line_reader.h"
#include "client/cli/request_flags.h"
#include "client/client.h"
#include "proto/utf8.h"

namespace quire::cli {
namespace {

struct ChatCommandFlags {
  ConnectionFlags connection;
  RequestFlags request;
  std::string system;
  std::string load;
  bool verbose = false;
};

class Chat {
 public:
  Chat(const ChatCommandFlags& flags, Interrupt& interrupt)
      : flags_(flags),
        interrupt_(interrupt),
        client_(flags.connection.server),
        session_(BuildParams(flags.request)),
        reader_(LineReader::Make()) {}

  int Run() {
    if (const absl::Status status = Open(); !status.ok()) return Fail(status);
    while (const std::optional<ChatEntry> entry = Read()) {
      if (entry->command == "quit" || entry->command == "exit") return kExitOk;
      const absl::Status status = entry->command.empty() ? Answer(entry->text) : RunCommand(*entry);
      if (status.ok()) continue;
      const int exit_code = Fail(status);
      // Whoever types can go on; a script must know.
      if (!reader_->is_terminal()) return exit_code;
    }
    if (reader_->is_terminal()) std::puts("");
    return kExitOk;
  }

 private:
  // Whether the server can chat at all is known before anything is typed.
  absl::Status Open() {
    const auto model = client_.GetModelInfo({.timeout = absl::Seconds(kShortCallSeconds)});
    if (!model.ok()) return model.status();
    if (!model->has_chat_template()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the server's model ", model->name(),
          " has no chat template that can be used; quire generate continues plain text"));
    }
    if (!flags_.load.empty()) {
      const auto loaded = session_.Run("load", flags_.load);
      if (!loaded.ok()) return loaded.status();
    }
    if (!flags_.system.empty()) session_.SetSystem(flags_.system);
    if (reader_->is_terminal()) {
      std::printf("%s, %u tokens of context. /help tells what can be typed.\n",
                  model->name().c_str(), model->capacity_tokens());
    }
    return absl::OkStatus();
  }

  std::optional<ChatEntry> Read() {
    std::fflush(stdout);
    const Interrupt::Scope scope(interrupt_, [this] {
      reader_->RestoreTerminal();
      if (reader_->is_terminal()) [[maybe_unused]]
        const auto n = write(STDOUT_FILENO, "\n", 1);
      std::_Exit(kInterrupted);
    });
    return ReadEntry(*reader_);
  }

  absl::Status RunCommand(const ChatEntry& entry) {
    const absl::StatusOr<std::string> told = session_.Run(entry.command, entry.text);
    if (!told.ok()) return told.status();
    if (reader_->is_terminal() || entry.command == "help" || entry.command == "set") {
      std::puts(told->c_str());
    }
    return absl::OkStatus();
  }

  // A message and the answer to it, which is printed as it comes. Where none comes, the message is
  // taken back.
  absl::Status Answer(const std::string& text) {
    if (absl::Status status = CheckUtf8("the message", text); !status.ok()) return status;
    session_.AddMessage("user", text);
    ResponseCollector collector;
    CallTimes times;
    const absl::Status status = Stream(collector, times);
    const bool stopped = interrupt_.TakeExitCode() != 0;
    const v1::GenerateResponse& response = collector.response();
    const std::string answer =
        response.sequences_size() > 0 ? response.sequences(0).text() : std::string();
    if (!answer.empty() && !absl::EndsWith(answer, "\n")) std::puts("");
    if (answer.empty() && (stopped || !status.ok())) {
      session_.DropMessage();
    } else {
      session_.AddMessage("assistant", answer);
    }
    if (reader_->is_terminal()) TellEnd(response, stopped);
    if (flags_.verbose && collector.started()) {
      std::fprintf(stderr, "[%s]\n", SummaryLine(response, times).c_str());
    }
    return stopped ? absl::OkStatus() : status;
  }

  static void TellEnd(const v1::GenerateResponse& response, bool stopped) {
    if (stopped) {
      std::puts("[stopped]");
    } else if (response.sequences_size() > 0) {
      const v1::FinishReason reason = response.sequences(0).finish_reason();
      if (reason == v1::FINISH_REASON_MAX_TOKENS || reason == v1::FINISH_REASON_CONTEXT_LIMIT ||
          reason == v1::FINISH_REASON_TIME_LIMIT) {
        std::printf("[cut off: %s]\n", Name(reason).c_str());
      }
    }
  }

  absl::Status Stream(ResponseCollector& collector, CallTimes& times) {
    const absl::Time start = absl::Now();
    GenerateStream stream = client_.Stream(MakeRequest(session_.chat(), session_.params()),
                                           flags_.connection.call_options());
    GracefulEnd end(client_, stream, session_.params().tenant);
    const Interrupt::Scope scope(interrupt_, [&end] { end.Begin(); });
    for (const v1::GenerateEvent& event : stream) {
      if (event.has_started()) end.SetRequestId(event.started().request_id());
      if (event.has_delta()) {
        if (times.first_token == absl::ZeroDuration()) times.first_token = absl::Now() - start;
        const std::string& text = event.delta().text();
        std::fwrite(text.data(), 1, text.size(), stdout);
        std::fflush(stdout);
      }
      collector.Add(event);
    }
    times.total = absl::Now() - start;
    return stream.Finish();
  }

  static constexpr int kInterrupted = 130;  // 128 + SIGINT, as the shell tells it

  const ChatCommandFlags& flags_;
  Interrupt& interrupt_;
  const Client client_;
  ChatSession session_;
  const std::unique_ptr<LineReader> reader_;
};

int RunChat(const ChatCommandFlags& flags) {
  // Before any other thread; never destroyed, because its own thread never ends.
  static Interrupt& interrupt = *new Interrupt;
  return Chat(flags, interrupt).Run();
}

}  // namespace

void AddChatCommand(CLI::App& app, Run& run) {
  CLI::App& command = *app.add_subcommand("chat", "Talks with the model, turn by turn");
  const auto flags = std::make_shared<ChatCommandFlags>();
  // Tokens are counted here too, where the call may end before the server tells.
  flags->request.params.token_ids = true;
  command.add_option("--system", flags->system, "The system message")
      ->check(IsUtf8())
      ->type_name("TEXT");
  command.add_option("--load", flags->load, "Goes on with the messages that /save wrote to FILE")
      ->check(CLI::ExistingFile)
      ->type_name("FILE");
  command.add_flag("--verbose,-v", flags->verbose,
                   "A line on standard error after each answer: tokens, tok/s, TTFT");
  AddSettingFlags(command, flags->request);
  AddConnectionFlags(command, flags->connection);
  command.footer(
      "/help, once there, lists the commands. Ctrl-C stops an answer, and what has come\n"
      "stays in the chat; at the prompt it quits, as Ctrl-D does. Where standard input is\n"
      "no terminal, each line is a message, and the first failure ends quire.");
  command.callback([flags, &run] { run = [flags] { return RunChat(*flags); }; });
}

}  // namespace quire::cli
