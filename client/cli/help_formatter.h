// --help in two columns that fit a terminal: "--flag TYPE", and what it does with its default.
#ifndef QUIRE_CLIENT_CLI_HELP_FORMATTER_H_
#define QUIRE_CLIENT_CLI_HELP_FORMATTER_H_

#include <CLI/CLI.hpp>
#include <string>

namespace quire::cli {

class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_subcommand(const CLI::App* command) const override;
};

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_HELP_FORMATTER_H_
