#include "client/cli/help_formatter.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace quire::cli {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kTextColumn = 28;

std::string TwoColumns(const std::string& name, const std::string& text) {
  std::string result = absl::StrCat("  ", name);
  size_t column = result.size();
  const auto new_line = [&] {
    absl::StrAppend(&result, "\n", std::string(kTextColumn, ' '));
    column = kTextColumn;
  };
  if (column + 2 > kTextColumn) {
    new_line();
  } else {
    result.append(kTextColumn - column, ' ');
    column = kTextColumn;
  }
  for (absl::string_view word : absl::StrSplit(text, ' ')) {
    if (column > kTextColumn && column + 1 + word.size() > kWidth) new_line();
    if (column > kTextColumn) {
      result += ' ';
      ++column;
    }
    absl::StrAppend(&result, word);
    column += word.size();
  }
  return result + "\n";
}

}  // namespace

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode mode) const {
  // CLI11 leaves two empty lines between groups.
  return absl::StrReplaceAll(CLI::Formatter::make_help(app, std::move(name), mode),
                             {{"\n\n\n", "\n\n"}});
}

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
  std::string name = make_option_name(option, is_positional);
  std::string text = option->get_description();
  if (!is_positional && option->get_type_size() != 0) {
    // CLI11 puts the names of the checks behind a colon.
    const std::string type = option->get_type_name();
    absl::StrAppend(&name, " ", type.substr(0, type.find(':')));
  }
  if (!option->get_default_str().empty()) {
    absl::StrAppend(&text, " [", option->get_default_str(), "]");
  }
  if (!option->get_envname().empty()) absl::StrAppend(&text, " [$", option->get_envname(), "]");
  return TwoColumns(name, text);
}

std::string HelpFormatter::make_subcommand(const CLI::App* command) const {
  return TwoColumns(command->get_name(), command->get_description());
}

}  // namespace quire::cli
