#include "client/cli/chat_flags.h"

#include <utility>

namespace quire::cli {
namespace {

CLI::Validator IsMessage() {
  return CLI::Validator(
      [](std::string& text) {
        const size_t colon = text.find(':');
        if (colon != std::string::npos && colon > 0) return std::string();
        return "\"" + text + "\" is no message; write role and text, as user:Hello";
      },
      "ROLE:TEXT");
}

void AddMessage(std::string role, std::string content, v1::Chat& chat) {
  v1::ChatMessage& message = *chat.add_messages();
  message.set_role(std::move(role));
  message.set_content(std::move(content));
}

}  // namespace

void AddChatFlags(CLI::App& command, ChatFlags& flags) {
  command
      .add_flag("--chat", flags.chat,
                "The text is the user's message; the model's chat template makes the prompt of it")
      ->group("Chat");
  command.add_option("--system", flags.system, "A system message before it; chat")
      ->check(IsUtf8())
      ->type_name("TEXT")
      ->group("Chat");
  command
      .add_option("--message", flags.messages,
                  "A message before the text, which may then be left out: user:Hello; chat; may be "
                  "repeated")
      ->check(IsUtf8())
      ->check(IsMessage())
      ->allow_extra_args(false)
      ->type_name("ROLE:TEXT")
      ->group("Chat");
}

absl::StatusOr<v1::Chat> BuildChat(const ChatFlags& flags, const TextFlags& text) {
  v1::Chat chat;
  if (flags.system) AddMessage("system", *flags.system, chat);
  for (const std::string& message : flags.messages) {
    const size_t colon = message.find(':');
    AddMessage(message.substr(0, colon), message.substr(colon + 1), chat);
  }
  if (flags.messages.empty() || text.text || !text.file.empty()) {
    absl::StatusOr<std::string> content = ReadText(text);
    if (!content.ok()) return content.status();
    AddMessage("user", *std::move(content), chat);
  }
  return chat;
}

}  // namespace quire::cli
