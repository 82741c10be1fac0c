// What the user types in a chat: messages, of one line or several, and commands.
#ifndef QUIRE_CLIENT_CLI_CHAT_INPUT_H_
#define QUIRE_CLIENT_CLI_CHAT_INPUT_H_

#include <optional>
#include <string>

#include "client/cli/line_reader.h"

namespace quire::cli {

struct ChatEntry {
  std::string command;  // without its slash; empty: a message
  std::string text;     // the message, or what follows the command
};

// The next entry that is not blank; nullopt at the end of the input. A backslash at its end goes on
// with the next line; after """ the message goes on to the next """. A message that begins with a
// slash is written with two.
std::optional<ChatEntry> ReadEntry(LineReader& reader);

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_CHAT_INPUT_H_
