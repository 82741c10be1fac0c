// What a chat has in hand: its messages and settings, and the commands that change them.
#ifndef QUIRE_CLIENT_CLI_CHAT_SESSION_H_
#define QUIRE_CLIENT_CLI_CHAT_SESSION_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/request.h"
#include "quire/v1/generation.pb.h"

namespace quire::cli {

class ChatSession {
 public:
  explicit ChatSession(GenerateParams params) : params_(std::move(params)) {}

  const v1::Chat& chat() const { return chat_; }
  const GenerateParams& params() const { return params_; }

  void AddMessage(const std::string& role, const std::string& content);
  // Takes the last message back.
  void DropMessage() { chat_.mutable_messages()->RemoveLast(); }
  // In front of all; empty text: none.
  void SetSystem(const std::string& text);

  // Does what the command, without its slash, says; what to tell the user. INVALID_ARGUMENT for a
  // command that there is not, or that is given something wrong.
  absl::StatusOr<std::string> Run(const std::string& command, const std::string& text);

 private:
  bool HasSystem() const;
  absl::StatusOr<std::string> Undo();
  absl::StatusOr<std::string> System(const std::string& text);
  absl::StatusOr<std::string> Set(const std::string& text);
  absl::StatusOr<std::string> Save(const std::string& path) const;
  absl::StatusOr<std::string> Load(const std::string& path);

  GenerateParams params_;
  v1::Chat chat_;
};

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_CHAT_SESSION_H_
