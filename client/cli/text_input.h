// Text from the command line, a file or a pipe, and lists of token ids.
#ifndef QUIRE_CLIENT_CLI_TEXT_INPUT_H_
#define QUIRE_CLIENT_CLI_TEXT_INPUT_H_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace quire::cli {

struct TextFlags {
  std::optional<std::string> text;  // "-" is standard input
  std::string file;
};

// `name` is of the positional argument: PROMPT or TEXT.
void AddTextFlags(CLI::App& command, const std::string& name, TextFlags& flags);

// The argument, the file, or what is piped in, in this order. A last newline of a file or a pipe
// goes: it is the editor's or echo's, and as part of a prompt it would change what follows.
// INVALID_ARGUMENT names the source and the byte where it is not UTF-8.
absl::StatusOr<std::string> ReadText(const TextFlags& flags);

// "1,2,3", one at least; spaces may stand for commas.
absl::StatusOr<std::vector<uint32_t>> ParseTokenIds(absl::string_view text);
std::string FormatTokenIds(absl::Span<const uint32_t> token_ids);
CLI::Validator IsTokenIds();
// For every flag whose value becomes a string of a message.
CLI::Validator IsUtf8();

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_TEXT_INPUT_H_
