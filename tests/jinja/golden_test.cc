// Renders what tools/make_chat_golden.py rendered with the transformers library, byte for byte.
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/civil_time.h"
#include "gtest/gtest.h"
#include "jinja/template.h"

namespace quire::jinja {
namespace {

using Json = nlohmann::ordered_json;

const std::filesystem::path& Folder() {
  static const auto& folder =
      *new std::filesystem::path(std::string(QUIRE_SOURCE_DIR) + "/tests/golden/chat");
  return folder;
}

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.is_open()) << path;
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

const Json& Conversations() {
  static const Json& json = *new Json(Json::parse(ReadAll(Folder() / "conversations.json")));
  return json;
}

Variables VariablesOf(const Json& conversation) {
  std::vector<Value> messages;
  for (const Json& message : conversation["messages"]) {
    messages.push_back(DictOf({{"role", message["role"].get<std::string>()},
                               {"content", message["content"].get<std::string>()}}));
  }
  Variables variables = {
      {"messages", ListOf(std::move(messages))},
      {"add_generation_prompt", conversation["add_generation_prompt"].get<bool>()},
      {"tools", Value()},
      {"documents", Value()}};
  for (const auto& [name, token] : Conversations()["tokens"].items()) {
    variables.emplace_back(name, token.get<std::string>());
  }
  return variables;
}

absl::Time Now() {
  const auto now = Conversations()["now"].get<std::vector<int>>();
  return absl::FromCivil(absl::CivilSecond(now[0], now[1], now[2], now[3], now[4], now[5]),
                         absl::LocalTimeZone());
}

std::string Fnv1a(const std::string& text) {
  uint64_t value = 0xCBF29CE484222325;
  for (unsigned char byte : text) value = (value ^ byte) * 0x100000001B3;
  return absl::StrCat(absl::Hex(value, absl::kZeroPad16));
}

// In the form of golden.json.
std::string ResultOf(const absl::StatusOr<std::string>& text) {
  if (text.ok()) return Fnv1a(*text);
  return absl::IsInvalidArgument(text.status()) ? absl::StrCat("!", text.status().message()) : "?";
}

TEST(ChatGolden, TemplatesRenderAsTransformersRendersThem) {
  const Json golden = Json::parse(ReadAll(Folder() / "golden.json"));
  ASSERT_GE(golden.size(), 25U);
  for (const auto& [name, expected] : golden.items()) {
    SCOPED_TRACE(name);
    const auto made = Template::Parse(ReadAll(Folder() / (name + ".jinja")));
    ASSERT_TRUE(made.ok()) << made.status();
    const Json& conversations = Conversations()["conversations"];
    ASSERT_EQ(expected["results"].size(), conversations.size());
    size_t num_whole = 0;
    for (size_t i = 0; i < conversations.size(); ++i) {
      const auto text = (*made)->Render(VariablesOf(conversations[i]), Now());
      if (text.ok() && num_whole < expected["texts"].size()) {
        EXPECT_EQ(*text, expected["texts"][num_whole++].get<std::string>());
      }
      EXPECT_EQ(ResultOf(text), expected["results"][i].get<std::string>())
          << conversations[i] << "\n"
          << (text.ok() ? *text : text.status().ToString());
    }
  }
}

TEST(ChatGolden, ExpressionsGiveWhatJinjaGives) {
  const Json expressions = Json::parse(ReadAll(Folder() / "expressions.json"));
  ASSERT_GE(expressions.size(), 170U);
  const Variables variables = VariablesOf(Conversations()["conversations"][0]);
  for (const Json& expression : expressions) {
    const auto source = expression["template"].get<std::string>();
    SCOPED_TRACE(source);
    const auto made = Template::Parse(source);
    if (expression.contains("error") && expression["error"] == "syntax") {
      EXPECT_FALSE(made.ok());
      continue;
    }
    EXPECT_TRUE(made.ok()) << made.status();
    if (!made.ok()) continue;
    const auto text = (*made)->Render(variables, Now());
    if (expression.contains("text")) {
      EXPECT_TRUE(text.ok()) << text.status();
      EXPECT_EQ(text.value_or(""), expression["text"].get<std::string>());
    } else {
      EXPECT_FALSE(text.ok()) << *text;
      EXPECT_EQ(ResultOf(text), expression["error"].get<std::string>()) << text.status();
    }
  }
}

}  // namespace
}  // namespace quire::jinja
