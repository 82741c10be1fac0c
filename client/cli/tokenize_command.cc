// quire tokenize: text to token ids and back, with the model's tokenizer.
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "client/cli/chat_flags.h"
#include "client/cli/commands.h"
#include "client/cli/connection_flags.h"
#include "client/cli/error_line.h"
#include "client/cli/json.h"
#include "client/cli/text_input.h"
#include "client/client.h"

namespace quire::cli {
namespace {

struct TokenizeFlags {
  ConnectionFlags connection{.timeout_seconds = kShortCallSeconds};
  TextFlags text;
  ChatFlags chat;
  std::string decode;  // token ids; the other way where given
  bool no_special = false;
  bool keep_special = false;
  bool json = false;
};

int Decode(const TokenizeFlags& flags, const Client& client) {
  v1::DetokenizeRequest request;
  const std::vector<uint32_t> token_ids = ParseTokenIds(flags.decode).value();
  request.mutable_token_ids()->Add(token_ids.begin(), token_ids.end());
  request.set_skip_special_tokens(!flags.keep_special);
  const auto response = client.Detokenize(request, flags.connection.call_options());
  if (!response.ok()) return Fail(response.status());
  if (flags.json) {
    std::puts(Dump(ToJson(*response)).c_str());
    return kExitOk;
  }
  const std::string& text = response->text();
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (isatty(STDOUT_FILENO) != 0 && !absl::EndsWith(text, "\n")) std::puts("");
  return kExitOk;
}

int Tokenize(const TokenizeFlags& flags) {
  const Client client(flags.connection.server);
  if (!flags.decode.empty()) return Decode(flags, client);
  v1::TokenizeRequest request;
  if (flags.chat.is_chat()) {
    // Without special tokens of the tokenizer's own, as in a prompt.
    absl::StatusOr<v1::Chat> chat = BuildChat(flags.chat, flags.text);
    if (!chat.ok()) return Fail(chat.status());
    *request.mutable_chat() = *std::move(chat);
  } else {
    absl::StatusOr<std::string> text = ReadText(flags.text);
    if (!text.ok()) return Fail(text.status());
    request.set_text(*std::move(text));
    request.set_add_special_tokens(!flags.no_special);
  }
  const auto response = client.Tokenize(request, flags.connection.call_options());
  if (!response.ok()) return Fail(response.status());
  std::puts(flags.json ? Dump(ToJson(*response)).c_str()
                       : FormatTokenIds(response->token_ids()).c_str());
  return kExitOk;
}

}  // namespace

void AddTokenizeCommand(CLI::App& app, Run& run) {
  CLI::App& command =
      *app.add_subcommand("tokenize", "Text to token ids, as 1,2,3, or with --decode back");
  const auto flags = std::make_shared<TokenizeFlags>();
  AddTextFlags(command, "TEXT", flags->text);
  AddChatFlags(command, flags->chat);
  command.add_option("--decode", flags->decode, "These token ids to text: 1,2,3")
      ->check(IsTokenIds())
      ->type_name("IDS")
      ->excludes("TEXT")
      ->excludes("--file")
      ->excludes("--chat")
      ->excludes("--system")
      ->excludes("--message");
  command
      .add_flag("--no-special", flags->no_special,
                "Without the special tokens (BOS) that the tokenizer adds")
      ->excludes("--decode")
      ->excludes("--chat")
      ->excludes("--system")
      ->excludes("--message");
  command.add_flag("--keep-special", flags->keep_special, "Special tokens as text too")
      ->needs("--decode");
  command.add_flag("--json", flags->json, "One JSON object: token_ids, or text");
  AddConnectionFlags(command, flags->connection);
  command.callback([flags, &run] { run = [flags] { return Tokenize(*flags); }; });
}

}  // namespace quire::cli
