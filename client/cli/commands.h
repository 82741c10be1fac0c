// The subcommands of quire. Each adds itself to the command line; what it is asked to do it leaves
// in `run`, which gives the exit code.
#ifndef QUIRE_CLIENT_CLI_COMMANDS_H_
#define QUIRE_CLIENT_CLI_COMMANDS_H_

#include <CLI/CLI.hpp>
#include <functional>

namespace quire::cli {

// Exit codes, as the help text tells them.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

using Run = std::function<int()>;

void AddGenerateCommand(CLI::App& app, Run& run);
void AddChatCommand(CLI::App& app, Run& run);
void AddEmbedCommand(CLI::App& app, Run& run);
void AddTokenizeCommand(CLI::App& app, Run& run);
void AddCostCommand(CLI::App& app, Run& run);
void AddAbortCommand(CLI::App& app, Run& run);
void AddInfoCommand(CLI::App& app, Run& run);
void AddHealthCommand(CLI::App& app, Run& run);
void AddRopeScalingCommand(CLI::App& app, Run& run);
void AddBenchCommand(CLI::App& app, Run& run);

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_COMMANDS_H_
