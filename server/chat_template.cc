#include "server/chat_template.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/file.h"
#include "core/status_macros.h"
#include "proto/utf8.h"
#include "server/limits.h"

namespace quire {
namespace {

using Json = nlohmann::json;

constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

template <typename... Parts>
absl::Status Unusable(const Parts&... parts) {
  return absl::FailedPreconditionError(absl::StrCat(parts...));
}

absl::Status NoTemplate(const std::string& model) {
  return absl::NotFoundError(
      absl::StrCat("the model has no chat template: ", model,
                   " has no chat_template.jinja, and tokenizer_config.json no \"chat_template\"; "
                   "send text"));
}

// Not core/json: tokenizer_config.json often holds a model_max_length beyond 64 bits, which matters
// to nobody.
Json ReadConfig(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return Json::parse(file, nullptr, /*allow_exceptions=*/false);
}

// Of a string, or of a list of {name, template}.
absl::StatusOr<std::string> TemplateOf(const Json& value, const std::string& path) {
  if (value.is_string()) return value.get<std::string>();
  constexpr char kExpected[] =
      ", expected a string, or a list of {\"name\", \"template\"} with a \"default\"";
  if (!value.is_array()) {
    return Unusable(path, ": chat_template: found ", value.type_name(), kExpected);
  }
  for (const Json& one : value) {
    const auto name = one.find("name");
    const auto source = one.find("template");
    if (name == one.end() || source == one.end() || !source->is_string()) continue;
    if (*name == "default") return source->get<std::string>();
  }
  return Unusable(path, ": chat_template: found a list of ", value.size(), " without a default",
                  kExpected);
}

// Where the template stands, and it.
absl::StatusOr<std::pair<std::string, std::string>> ReadSource(const std::string& model,
                                                               const Json& config) {
  const std::string file = model + "/chat_template.jinja";
  if (FileExists(file)) {
    QUIRE_ASSIGN_OR_RETURN(std::string source, ReadFile(file));
    if (const absl::Status status = CheckUtf8(file, source); !status.ok()) {
      return Unusable(status.message());
    }
    return std::make_pair(file, std::move(source));
  }
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return NoTemplate(model);
  const std::string path = model + "/tokenizer_config.json";
  QUIRE_ASSIGN_OR_RETURN(std::string source, TemplateOf(*found, path));
  return std::make_pair(absl::StrCat(path, ": chat_template"), std::move(source));
}

// A token is a string, or an object with its "content".
jinja::Variables SpecialTokens(const Json& config) {
  jinja::Variables tokens;
  for (const char* name : kSpecialTokens) {
    auto found = config.find(name);
    if (found == config.end()) continue;
    const Json& content =
        found->is_object() && found->contains("content") ? (*found)["content"] : *found;
    if (content.is_string()) tokens.emplace_back(name, content.get<std::string>());
  }
  return tokens;
}

absl::Status CheckMessages(const v1::Chat& chat) {
  const auto invalid = [](const auto&... parts) {
    return absl::InvalidArgumentError(absl::StrCat("chat.", parts...));
  };
  if (chat.messages_size() == 0) return invalid("messages is empty; it needs one message at least");
  if (chat.messages_size() > kMaxChatMessages) {
    return invalid("messages has ", chat.messages_size(), " entries; the limit is ",
                   kMaxChatMessages);
  }
  for (int i = 0; i < chat.messages_size(); ++i) {
    const size_t bytes = chat.messages(i).role().size();
    if (bytes > 0 && bytes <= kMaxRoleBytes) continue;
    return invalid("messages[", i, "].role has ", bytes, " bytes; the range is 1 to ",
                   kMaxRoleBytes);
  }
  if (const size_t bytes = TextBytes(chat); bytes > kMaxChatBytes) {
    return invalid("messages has ", bytes, " bytes of text; the limit is ", kMaxChatBytes);
  }
  return absl::OkStatus();
}

jinja::Value ToValue(const v1::Chat& chat) {
  std::vector<jinja::Value> messages;
  for (const v1::ChatMessage& message : chat.messages()) {
    messages.push_back(jinja::DictOf({{"role", message.role()}, {"content", message.content()}}));
  }
  return jinja::ListOf(std::move(messages));
}

}  // namespace

absl::StatusOr<std::unique_ptr<const ChatTemplate>> ChatTemplate::Load(const std::string& model) {
  const Json config = ReadConfig(model + "/tokenizer_config.json");
  QUIRE_ASSIGN_OR_RETURN(const auto source, ReadSource(model, config));
  std::unique_ptr<ChatTemplate> made(new ChatTemplate);
  auto parsed = jinja::Template::Parse(source.second);
  if (!parsed.ok()) {
    return Unusable("the model's chat template cannot be used: ", source.first, ": ",
                    parsed.status().message());
  }
  made->template_ = *std::move(parsed);
  made->special_tokens_ = SpecialTokens(config);
  return std::unique_ptr<const ChatTemplate>(std::move(made));
}

absl::StatusOr<std::string> ChatTemplate::Render(const v1::Chat& chat, absl::Time now) const {
  QUIRE_RETURN_IF_ERROR(CheckMessages(chat));
  jinja::Variables variables = special_tokens_;
  variables.emplace_back("messages", ToValue(chat));
  variables.emplace_back("add_generation_prompt",
                         !chat.has_add_generation_prompt() || chat.add_generation_prompt());
  variables.emplace_back("tools", jinja::Value());
  variables.emplace_back("documents", jinja::Value());
  absl::StatusOr<std::string> text = template_->Render(variables, now);
  if (text.ok()) return text;
  const bool refused = absl::IsInvalidArgument(text.status());
  return absl::Status(text.status().code(),
                      absl::StrCat(refused ? "the chat template refuses the messages: "
                                           : "the chat template fails on these messages: ",
                                   text.status().message()));
}

size_t TextBytes(const v1::Chat& chat) {
  size_t bytes = 0;
  for (const v1::ChatMessage& message : chat.messages()) {
    bytes += message.role().size() + message.content().size();
  }
  return bytes;
}

}  // namespace quire
