#include "server/chat_template.h"

#include <string>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/limits.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

v1::Chat Say(const std::string& content, const std::string& role = "user") {
  v1::Chat chat;
  chat.add_messages()->set_role(role);
  chat.mutable_messages(0)->set_content(content);
  return chat;
}

// What the template of the directory makes of "hi".
absl::StatusOr<std::string> Rendered(const testing::TempDir& model) {
  const auto made = ChatTemplate::Load(model.path());
  return made.ok() ? (*made)->Render(Say("hi"), absl::Now()) : made.status();
}

testing::TempDir& Write(testing::TempDir& model, const std::string& name,
                        const std::string& content) {
  model.Write(name, content);
  return model;
}

TEST(ChatTemplate, IsFoundInEitherFile) {
  testing::TempDir model;
  EXPECT_TRUE(absl::IsNotFound(Rendered(model).status()));
  Write(model, "tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_TRUE(absl::IsNotFound(Rendered(model).status()));
  Write(model, "tokenizer_config.json", "{");
  EXPECT_TRUE(absl::IsNotFound(Rendered(model).status()));
  Write(model, "tokenizer_config.json",
        R"({"model_max_length": 1000000000000000019884624838656,
            "chat_template": "member {{ messages[0].content }}"})");
  EXPECT_EQ(*Rendered(model), "member hi");
  Write(model, "chat_template.jinja", "file {{ messages[0].content }}\n");
  EXPECT_EQ(*Rendered(model), "file hi");
}

TEST(ChatTemplate, OfSeveralTheDefaultIsTaken) {
  testing::TempDir model;
  Write(model, "tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "tools"},
                              {"name": "default", "template": "plain"}]})");
  EXPECT_EQ(*Rendered(model), "plain");
  for (const char* wrong : {R"({"chat_template": [{"name": "tool_use", "template": "tools"}]})",
                            R"({"chat_template": [1, {"name": 2}]})", R"({"chat_template": 5})",
                            R"({"chat_template": {"default": "x"}})"}) {
    Write(model, "tokenizer_config.json", wrong);
    EXPECT_TRUE(absl::IsFailedPrecondition(Rendered(model).status())) << wrong;
    EXPECT_THAT(std::string(Rendered(model).status().message()),
                AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("expected")));
  }
}

TEST(ChatTemplate, HasTheVariablesThatTransformersGives) {
  testing::TempDir model;
  Write(model, "tokenizer_config.json",
        R"({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>",
            "pad_token": null, "unk_token": "?", "additional_special_tokens": ["<x>"]})");
  Write(model, "chat_template.jinja",
        "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}{{ unk_token }}{{ tools }}"
        "{{ documents is none }}{{ add_generation_prompt }}{{ messages }}");
  EXPECT_EQ(*Rendered(model), "<s></s>False?NoneTrueTrue[{'role': 'user', 'content': 'hi'}]");
  const auto made = ChatTemplate::Load(model.path());
  v1::Chat chat = Say("");
  chat.set_add_generation_prompt(false);
  EXPECT_THAT(*(*made)->Render(chat, absl::Now()), HasSubstr("TrueFalse[{"));
}

TEST(ChatTemplate, OneThatDoesNotParseSaysWhereAndWhy) {
  testing::TempDir model;
  Write(model, "chat_template.jinja", "{% for m in messages %}\n{{ m.content }}");
  EXPECT_TRUE(absl::IsFailedPrecondition(Rendered(model).status()));
  EXPECT_THAT(std::string(Rendered(model).status().message()),
              AllOf(HasSubstr("chat_template.jinja: line 1"), HasSubstr("endfor")));
  Write(model, "chat_template.jinja", "a\xff");
  EXPECT_THAT(std::string(Rendered(model).status().message()), HasSubstr("is not UTF-8"));
}

TEST(ChatTemplate, FaultsOfMessagesAndTemplateAreToldApart) {
  testing::TempDir model;
  Write(model, "chat_template.jinja",
        "{% if messages[0].role == 'x' %}{{ raise_exception('no x here') }}{% endif %}\n"
        "{% if messages[0].role == 'y' %}{{ messages[0].a.b }}{% endif %}"
        "{% if messages[0].role == 'z' %}{% for i in range(99999) %}"
        "{{ messages[0].content * 1000 }}{% endfor %}{% endif %}");
  const auto made = ChatTemplate::Load(model.path());
  const auto refused = (*made)->Render(Say("", "x"), absl::Now()).status();
  EXPECT_EQ(refused,
            absl::InvalidArgumentError("the chat template refuses the messages: no x here"));
  const auto failed = (*made)->Render(Say("", "y"), absl::Now()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(failed));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("line 2: "));
  const auto too_long = (*made)->Render(Say("aaaa", "z"), absl::Now()).status();
  EXPECT_TRUE(absl::IsOutOfRange(too_long)) << too_long;
}

TEST(ChatTemplate, MessagesAreChecked) {
  testing::TempDir model;
  Write(model, "chat_template.jinja", "{{ messages|length }}");
  const auto made = ChatTemplate::Load(model.path());
  const auto message_of = [&](const v1::Chat& chat) {
    const absl::Status status = (*made)->Render(chat, absl::Now()).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(message_of({}), HasSubstr("messages is empty"));
  EXPECT_THAT(message_of(Say("a", "")), HasSubstr("messages[0].role has 0 bytes"));
  EXPECT_THAT(message_of(Say("a", std::string(65, 'r'))), HasSubstr("the range is 1 to 64"));
  EXPECT_THAT(message_of(Say(std::string(kMaxChatBytes, 'x'))), HasSubstr("4194308 bytes"));
  v1::Chat many;
  for (int i = 0; i <= kMaxChatMessages; ++i) many.add_messages()->set_role("user");
  EXPECT_THAT(message_of(many), HasSubstr("16385 entries; the limit is 16384"));
  many.mutable_messages()->RemoveLast();
  EXPECT_EQ(*(*made)->Render(many, absl::Now()), "16384");
}

}  // namespace
}  // namespace quire
