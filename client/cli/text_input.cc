#include "client/cli/text_input.h"

#include <unistd.h>

#include <fstream>
#include <iostream>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "proto/utf8.h"

namespace quire::cli {
namespace {

std::string ReadAll(std::istream& in) {
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string WithoutLastNewline(std::string text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

void AddTextFlags(CLI::App& command, const std::string& name, TextFlags& flags) {
  CLI::Option* text = command.add_option(
      name, flags.text, "Text; without it, or as -, standard input (less its last newline)");
  text->check(IsUtf8())->type_name("TEXT")->option_text(" ");
  command.add_option("--file,-f", flags.file, "Text from this file, less its last newline")
      ->check(CLI::ExistingFile)
      ->type_name("FILE")
      ->excludes(text);
}

absl::StatusOr<std::string> ReadText(const TextFlags& flags) {
  if (!flags.file.empty()) {
    std::ifstream in(flags.file, std::ios::binary);
    std::string text = ReadAll(in);
    if (!in.is_open() || in.bad()) {
      return absl::NotFoundError(absl::StrCat("cannot read ", flags.file));
    }
    if (absl::Status status = CheckUtf8(flags.file, text); !status.ok()) return status;
    return WithoutLastNewline(std::move(text));
  }
  if (flags.text && *flags.text != "-") return *flags.text;
  if (!flags.text && isatty(STDIN_FILENO) != 0) {
    return absl::InvalidArgumentError(
        "there is no text: give it as an argument, with --file, or on standard input");
  }
  std::string text = ReadAll(std::cin);
  if (absl::Status status = CheckUtf8("standard input", text); !status.ok()) return status;
  return WithoutLastNewline(std::move(text));
}

absl::StatusOr<std::vector<uint32_t>> ParseTokenIds(absl::string_view text) {
  std::vector<uint32_t> token_ids;
  for (absl::string_view part :
       absl::StrSplit(text, absl::ByAnyChar(", \t\n"), absl::SkipEmpty())) {
    if (!absl::SimpleAtoi(part, &token_ids.emplace_back())) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", part, "\" is no token id; write them as 1,2,3"));
    }
  }
  if (token_ids.empty()) return absl::InvalidArgumentError("no token ids; write them as 1,2,3");
  return token_ids;
}

std::string FormatTokenIds(absl::Span<const uint32_t> token_ids) {
  return absl::StrJoin(token_ids, ",");
}

CLI::Validator IsTokenIds() {
  return CLI::Validator(
      [](std::string& text) { return std::string(ParseTokenIds(text).status().message()); }, "IDS");
}

CLI::Validator IsUtf8() {
  return CLI::Validator(
      [](std::string& text) { return std::string(CheckUtf8("the value", text).message()); },
      "TEXT");
}

}  // namespace quire::cli
