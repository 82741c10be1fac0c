// quire: the command line of a quire-server.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "client/cli/commands.h"
#include "client/cli/help_formatter.h"

namespace quire::cli {
namespace {

constexpr char kFooter[] =
    "quire COMMAND --help tells its options. Defaults are in [brackets].\n"
    "Exit status: 0 done; 1 failed, and a line on standard error says why; 2 wrong\n"
    "usage; 130 ended by Ctrl-C.";

// What the command line asks for; empty if it has been dealt with, with the exit code.
Run Parse(int argc, char** argv, int& exit_code) {
  CLI::App app("quire: generates, embeds, measures and looks after a quire-server.", "quire");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", "quire " QUIRE_VERSION);
  app.require_subcommand(1);
  Run run;
  AddGenerateCommand(app, run);
  AddChatCommand(app, run);
  AddEmbedCommand(app, run);
  AddTokenizeCommand(app, run);
  AddCostCommand(app, run);
  AddAbortCommand(app, run);
  AddInfoCommand(app, run);
  AddHealthCommand(app, run);
  AddRopeScalingCommand(app, run);
  AddBenchCommand(app, run);
  app.footer(kFooter);  // after the commands, which would inherit it
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help_or_version) {
    exit_code = app.exit(help_or_version);
    return nullptr;
  } catch (const CLI::ParseError& error) {
    const auto commands = app.get_subcommands();
    // What is not known is the likelier mistake than what is missing then.
    const std::vector<std::string> unknown = app.remaining(/*recurse=*/true);
    std::cerr << "quire: "
              << (unknown.empty() ? error.what() : CLI::ExtrasError("", unknown).what())
              << "\nTry quire " << (commands.empty() ? "" : commands.front()->get_name() + " ")
              << "--help.\n";
    exit_code = kExitUsage;
    return nullptr;
  }
  return run;
}

}  // namespace
}  // namespace quire::cli

// What CLI11 and iostreams throw here ends the program, as it should.
// NOLINTNEXTLINE(bugprone-exception-escape)
int main(int argc, char** argv) {
  int exit_code = quire::cli::kExitOk;
  const quire::cli::Run run = quire::cli::Parse(argc, argv, exit_code);
  if (run) exit_code = run();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr, "quire: cannot write to standard output: %s\n", std::strerror(errno));
    return quire::cli::kExitFailed;
  }
  return exit_code;
}
