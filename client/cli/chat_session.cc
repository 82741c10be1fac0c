#include "client/cli/chat_session.h"

#include <fstream>
#include <functional>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/json.h"
#include "proto/utf8.h"

namespace quire::cli {
namespace {

constexpr char kHelp[] =
    "/help              this list\n"
    "/reset             forget all messages but the system message\n"
    "/undo              take back the last message and its answer\n"
    "/system [TEXT]     set the system message, or without TEXT remove it\n"
    "/set [NAME VALUE]  change a setting for what follows; \"default\" is the server's; alone, it\n"
    "                   shows them\n"
    "/save FILE         write the messages to FILE as JSON\n"
    "/load FILE         go on with the messages of FILE\n"
    "/quit              end; so does Ctrl-D\n"
    "A line that ends with \\ goes on in the next one; \"\"\" begins and ends a message of "
    "several\n"
    "lines; // begins a message with a slash. Ctrl-C stops an answer, and what has come stays.";

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

bool Parse(absl::string_view text, float& value) { return absl::SimpleAtof(text, &value); }
template <typename Integer>
bool Parse(absl::string_view text, Integer& value) {
  return absl::SimpleAtoi(text, &value);
}

// A setting by name: `change` is false where the text is no value of it.
struct Setting {
  absl::string_view name;
  std::function<bool(GenerateParams&, absl::string_view)> change;
  std::function<std::string(const GenerateParams&)> show;
};

template <typename T>
Setting Make(absl::string_view name, std::optional<T> GenerateParams::*member) {
  return {name,
          [member](GenerateParams& params, absl::string_view text) {
            if (text == "default") {
              (params.*member).reset();
              return true;
            }
            T value{};
            if (!Parse(text, value)) return false;
            params.*member = value;
            return true;
          },
          [member](const GenerateParams& params) {
            return params.*member ? absl::StrCat(*(params.*member)) : std::string("default");
          }};
}

const std::vector<Setting>& Settings() {
  static const std::vector<Setting>& settings = *new std::vector<Setting>{
      Make("temperature", &GenerateParams::temperature),
      Make("top_k", &GenerateParams::top_k),
      Make("top_p", &GenerateParams::top_p),
      Make("min_p", &GenerateParams::min_p),
      Make("seed", &GenerateParams::seed),
      Make("repetition_penalty", &GenerateParams::repetition_penalty),
      Make("presence_penalty", &GenerateParams::presence_penalty),
      Make("frequency_penalty", &GenerateParams::frequency_penalty),
      Make("max_tokens", &GenerateParams::max_new_tokens),
      Make("min_tokens", &GenerateParams::min_new_tokens),
  };
  return settings;
}

// {"messages": [{"role": ..., "content": ...}]}
absl::StatusOr<v1::Chat> ParseMessages(const Json& json, const std::string& path) {
  constexpr char kExpected[] =
      ": expected {\"messages\": [{\"role\": \"...\", \"content\": \"...\"}]}";
  const auto messages = json.find("messages");
  if (messages == json.end() || !messages->is_array()) return Invalid(path, kExpected);
  v1::Chat chat;
  for (const Json& one : *messages) {
    const auto role = one.find("role");
    const auto content = one.find("content");
    if (role == one.end() || content == one.end() || !role->is_string() || !content->is_string()) {
      return Invalid(path, kExpected);
    }
    v1::ChatMessage& message = *chat.add_messages();
    message.set_role(role->get<std::string>());
    message.set_content(content->get<std::string>());
  }
  return chat;
}

}  // namespace

void ChatSession::AddMessage(const std::string& role, const std::string& content) {
  v1::ChatMessage& message = *chat_.add_messages();
  message.set_role(role);
  message.set_content(content);
}

bool ChatSession::HasSystem() const {
  return chat_.messages_size() > 0 && chat_.messages(0).role() == "system";
}

void ChatSession::SetSystem(const std::string& text) {
  v1::Chat changed;
  if (!text.empty()) {
    changed.add_messages()->set_role("system");
    changed.mutable_messages(0)->set_content(text);
  }
  for (int i = HasSystem() ? 1 : 0; i < chat_.messages_size(); ++i) {
    *changed.add_messages() = chat_.messages(i);
  }
  chat_ = std::move(changed);
}

absl::StatusOr<std::string> ChatSession::Run(const std::string& command, const std::string& text) {
  if (command == "help") return std::string(kHelp);
  if (command == "undo") return Undo();
  if (command == "system") return System(text);
  if (command == "set") return Set(text);
  if (command == "save") return Save(text);
  if (command == "load") return Load(text);
  if (command == "reset") {
    while (chat_.messages_size() > (HasSystem() ? 1 : 0)) DropMessage();
    return std::string("all messages are forgotten");
  }
  return Invalid("there is no command /", command, "; /help lists them");
}

absl::StatusOr<std::string> ChatSession::Undo() {
  int keep = chat_.messages_size();
  while (keep > 0 && chat_.messages(keep - 1).role() != "user") --keep;
  if (keep == 0) return Invalid("there is no message to take back");
  while (chat_.messages_size() >= keep) DropMessage();
  return std::string("the last message and its answer are taken back");
}

absl::StatusOr<std::string> ChatSession::System(const std::string& text) {
  SetSystem(text);
  return std::string(text.empty() ? "no system message" : "the system message is set");
}

absl::StatusOr<std::string> ChatSession::Set(const std::string& text) {
  if (text.empty()) {
    std::string all;
    for (const Setting& setting : Settings()) {
      absl::StrAppend(&all, all.empty() ? "" : "\n", setting.name, " ", setting.show(params_));
    }
    return all;
  }
  const std::vector<absl::string_view> parts =
      absl::StrSplit(text, absl::ByAnyChar(" \t="), absl::SkipEmpty());
  if (parts.size() != 2) return Invalid("write a name and a value: /set temperature 0.7");
  for (const Setting& setting : Settings()) {
    if (setting.name != parts[0]) continue;
    if (!setting.change(params_, parts[1])) {
      return Invalid("\"", parts[1], "\" is no value of ", setting.name);
    }
    return absl::StrCat(setting.name, " is ", setting.show(params_));
  }
  return Invalid("there is no setting ", parts[0], "; /set lists them");
}

absl::StatusOr<std::string> ChatSession::Save(const std::string& path) const {
  if (path.empty()) return Invalid("write where to: /save FILE");
  Json messages = Json::array();
  for (const v1::ChatMessage& message : chat_.messages()) {
    messages.push_back({{"role", message.role()}, {"content", message.content()}});
  }
  std::ofstream out(path, std::ios::binary);
  out << Dump({{"messages", messages}}, 2) << "\n";
  out.close();
  if (!out) return absl::PermissionDeniedError(absl::StrCat("cannot write ", path));
  return absl::StrCat(messages.size(), " messages are in ", path);
}

absl::StatusOr<std::string> ChatSession::Load(const std::string& path) {
  if (path.empty()) return Invalid("write where from: /load FILE");
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in.is_open() || in.bad()) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Invalid(path, ": not valid JSON");
  absl::StatusOr<v1::Chat> chat = ParseMessages(json, path);
  if (!chat.ok()) return chat.status();
  chat_ = *std::move(chat);
  return absl::StrCat(chat_.messages_size(), " messages of ", path);
}

}  // namespace quire::cli
