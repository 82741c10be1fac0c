#include "server/model_directory.h"

#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

TEST(ModelDirectory, AChatTemplateIsFoundInEitherFile) {
  const testing::TempDir none;
  EXPECT_FALSE(HasChatTemplate(none.path()));
  none.Write("tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_FALSE(HasChatTemplate(none.path()));
  none.Write("tokenizer_config.json", "{");
  EXPECT_FALSE(HasChatTemplate(none.path()));
  const testing::TempDir member;
  member.Write(
      "tokenizer_config.json",
      R"({"model_max_length": 1000000000000000019884624838656, "chat_template": "{{ x }}"})");
  EXPECT_TRUE(HasChatTemplate(member.path()));
  const testing::TempDir file;
  file.Write("chat_template.jinja", "{{ x }}");
  EXPECT_TRUE(HasChatTemplate(file.path()));
}

TEST(ModelDirectory, NeedsAConfig) {
  const testing::TempDir directory;
  EXPECT_TRUE(absl::IsNotFound(CheckModelDirectory(directory.path())));
  const std::string config = directory.Write("config.json", "{}");
  EXPECT_TRUE(CheckModelDirectory(directory.path()).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(CheckModelDirectory(config)));
}

}  // namespace
}  // namespace quire
