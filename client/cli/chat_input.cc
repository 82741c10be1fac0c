#include "client/cli/chat_input.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace quire::cli {
namespace {

constexpr char kPrompt[] = "> ";
constexpr char kMorePrompt[] = ". ";
constexpr absl::string_view kQuotes = "\"\"\"";

// The rest of a message that """ has opened. What follows the end on its line is dropped.
std::string ReadQuoted(LineReader& reader, std::string text) {
  size_t end = text.find(kQuotes.data());
  while (end == std::string::npos) {
    const std::optional<std::string> line = reader.Read(kMorePrompt);
    if (!line) return text;
    const size_t from = text.size();
    absl::StrAppend(&text, "\n", *line);
    end = text.find(kQuotes.data(), from);
  }
  text.resize(end);
  // The quotes may stand on lines of their own.
  if (absl::StartsWith(text, "\n")) text.erase(0, 1);
  if (absl::EndsWith(text, "\n")) text.pop_back();
  return text;
}

std::string ReadContinued(LineReader& reader, std::string text) {
  while (absl::EndsWith(text, "\\")) {
    text.pop_back();
    const std::optional<std::string> line = reader.Read(kMorePrompt);
    if (!line) break;
    absl::StrAppend(&text, "\n", *line);
  }
  return text;
}

}  // namespace

std::optional<ChatEntry> ReadEntry(LineReader& reader) {
  while (true) {
    std::optional<std::string> line = reader.Read(kPrompt);
    if (!line) return std::nullopt;
    const absl::string_view begin = absl::StripLeadingAsciiWhitespace(*line);
    if (begin.empty()) continue;
    reader.Remember(*line);
    if (absl::StartsWith(begin, kQuotes)) {
      return ChatEntry{.text = ReadQuoted(reader, std::string(begin.substr(kQuotes.size())))};
    }
    if (absl::StartsWith(begin, "//")) {
      return ChatEntry{.text = ReadContinued(reader, std::string(begin.substr(1)))};
    }
    if (!absl::StartsWith(begin, "/")) {
      return ChatEntry{.text = ReadContinued(reader, *std::move(line))};
    }
    const std::string entry = ReadContinued(reader, std::string(begin.substr(1)));
    const size_t end = std::min(entry.find_first_of(" \t\n"), entry.size());
    return ChatEntry{
        .command = entry.substr(0, end).empty() ? "/" : entry.substr(0, end),
        .text = std::string(absl::StripAsciiWhitespace(absl::string_view(entry).substr(end)))};
  }
}

}  // namespace quire::cli
