// A chat prompt on the command line: the flags that generate and tokenize share.
#ifndef QUIRE_CLIENT_CLI_CHAT_FLAGS_H_
#define QUIRE_CLIENT_CLI_CHAT_FLAGS_H_

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/text_input.h"
#include "quire/v1/generation.pb.h"

namespace quire::cli {

struct ChatFlags {
  bool chat = false;
  std::optional<std::string> system;
  std::vector<std::string> messages;  // ROLE:TEXT

  bool is_chat() const { return chat || system || !messages.empty(); }
};

void AddChatFlags(CLI::App& command, ChatFlags& flags);

// The system message, the messages, and the text as the user's last one. Where there are messages,
// the text is read only if an argument or a file gives it.
absl::StatusOr<v1::Chat> BuildChat(const ChatFlags& flags, const TextFlags& text);

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_CHAT_FLAGS_H_
