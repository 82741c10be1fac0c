// Chat prompts through the real server.
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/e2e_client.h"
#include "tests/testing/server_process.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kModel;
using testing::Stream;
using testing::Streamed;
using Stub = v1::GenerationService::Stub;

v1::Chat ChatOf(const std::vector<std::pair<std::string, std::string>>& messages) {
  v1::Chat chat;
  for (const auto& [role, content] : messages) {
    v1::ChatMessage& message = *chat.add_messages();
    message.set_role(role);
    message.set_content(content);
  }
  return chat;
}

v1::GenerateRequest Request(const v1::Chat& chat, uint32_t max_new_tokens) {
  v1::GenerateRequest request = testing::Text("", max_new_tokens);
  *request.mutable_chat() = chat;
  return request;
}

std::vector<uint32_t> Tokenize(Stub& stub, const v1::TokenizeRequest& request) {
  grpc::ClientContext context;
  v1::TokenizeResponse response;
  const grpc::Status status = stub.Tokenize(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return {response.token_ids().begin(), response.token_ids().end()};
}

std::vector<uint32_t> TokenizeChat(Stub& stub, const v1::Chat& chat) {
  v1::TokenizeRequest request;
  *request.mutable_chat() = chat;
  return Tokenize(stub, request);
}

// Of a text without the tokenizer's own special tokens.
std::vector<uint32_t> TokenizeText(Stub& stub, const std::string& text) {
  v1::TokenizeRequest request;
  request.set_text(text);
  request.set_add_special_tokens(false);
  return Tokenize(stub, request);
}

// The demo model with files of its own in front.
class ModelWith {
 public:
  ModelWith(const std::string& name, const std::string& content) {
    for (const auto& file : std::filesystem::directory_iterator(kModel)) {
      if (file.path().filename() == name) continue;
      std::filesystem::create_symlink(file.path(), directory_.File(file.path().filename()));
    }
    if (!content.empty()) directory_.Write(name, content);
  }
  const std::string& path() const { return directory_.path(); }

 private:
  testing::TempDir directory_;
};

TEST(ServerChat, APromptIsWhatTheTemplateMakesOfTheMessages) {
  testing::ServerProcess server({"--model", kModel});
  const auto stub = server.Connect();
  const v1::Chat chat = ChatOf({{"system", "Be brief."}, {"user", "Once upon a time"}});
  const std::string text =
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nOnce upon a time<|im_end|>\n"
      "<|im_start|>assistant\n";
  const std::vector<uint32_t> ids = TokenizeText(*stub, text);
  EXPECT_EQ(TokenizeChat(*stub, chat), ids);

  v1::GenerateRequest request = Request(chat, 24);
  request.mutable_response()->set_token_ids(true);
  request.mutable_response()->set_echo_prompt(true);
  const Streamed by_chat = Stream(*stub, request);
  ASSERT_TRUE(by_chat.status.ok()) << by_chat.status.error_message();
  EXPECT_EQ(by_chat.events[0].started().prompt_tokens(), ids.size());
  v1::Prompt prompt;
  for (const v1::GenerateEvent& event : by_chat.events) prompt.MergeFrom(event.prompt());
  EXPECT_EQ(prompt.text(), text);
  EXPECT_EQ(std::vector<uint32_t>(prompt.token_ids().begin(), prompt.token_ids().end()), ids);
  request.clear_chat();
  request.mutable_token_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  const Streamed by_ids = Stream(*stub, request);
  EXPECT_EQ(by_chat.token_ids, by_ids.token_ids);
  EXPECT_EQ(by_chat.texts, by_ids.texts);
  EXPECT_FALSE(by_chat.texts[0].empty());

  grpc::ClientContext cost_context;
  v1::CostEstimate cost;
  ASSERT_TRUE(stub->EstimateCost(&cost_context, Request(chat, 24), &cost).ok());
  EXPECT_EQ(cost.prompt_tokens(), ids.size());
  grpc::ClientContext info_context;
  v1::ModelInfo info;
  ASSERT_TRUE(stub->GetModelInfo(&info_context, {}, &info).ok());
  EXPECT_TRUE(info.has_chat_template());
}

TEST(ServerChat, TheAssistantsTurnIsLeftClosedOnDemand) {
  testing::ServerProcess server({"--model", kModel});
  const auto stub = server.Connect();
  v1::Chat chat = ChatOf({{"user", "Hi"}});
  chat.set_add_generation_prompt(false);
  EXPECT_EQ(TokenizeChat(*stub, chat), TokenizeText(*stub, "<|im_start|>user\nHi<|im_end|>\n"));
}

// Over what gRPC's own threads take.
TEST(ServerChat, ALongChatIsAnsweredToo) {
  testing::ServerProcess server({"--model", kModel});
  const auto stub = server.Connect();
  std::string content;
  while (content.size() < 200'000) content += "the king and the queen ";
  const v1::Chat chat = ChatOf({{"user", content}});
  EXPECT_GT(TokenizeChat(*stub, chat).size(), 30'000U);
  const Streamed got = Stream(*stub, Request(chat, 1));
  EXPECT_EQ(got.status.error_code(), grpc::StatusCode::OUT_OF_RANGE);
  EXPECT_THAT(got.status.error_message(), HasSubstr("prompt has"));
}

TEST(ServerChat, TheTemplatesRefusalReachesTheClient) {
  const ModelWith model(
      "chat_template.jinja",
      "{% if messages[0].role != 'user' %}"
      "{{ raise_exception('begin with the user') }}{% endif %}"
      "{{ messages[0].content }}{{ messages[0].none.there if messages|length > 1 }}");
  testing::ServerProcess server({"--model", model.path()});
  const auto stub = server.Connect();
  EXPECT_EQ(TokenizeChat(*stub, ChatOf({{"user", "Hi"}})), TokenizeText(*stub, "Hi"));
  Streamed got = Stream(*stub, Request(ChatOf({{"system", "Hi"}}), 1));
  EXPECT_EQ(got.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(got.status.error_message(), HasSubstr("begin with the user"));
  got = Stream(*stub, Request(ChatOf({{"user", "Hi"}, {"user", "Ho"}}), 1));
  EXPECT_EQ(got.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(got.status.error_message(), HasSubstr("line 1: "));
}

TEST(ServerChat, ATemplateThatDoesNotParseStopsNoServer) {
  const ModelWith model("chat_template.jinja", "{% for m in messages %}");
  testing::ServerProcess server({"--model", model.path()});
  const auto stub = server.Connect();
  EXPECT_TRUE(Stream(*stub, testing::Text("Once", 2)).status.ok());
  const Streamed got = Stream(*stub, Request(ChatOf({{"user", "Hi"}}), 1));
  EXPECT_EQ(got.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(got.status.error_message(),
              AllOf(HasSubstr("chat_template.jinja: line 1: "), HasSubstr("endfor")));
  grpc::ClientContext context;
  v1::ModelInfo info;
  ASSERT_TRUE(stub->GetModelInfo(&context, {}, &info).ok());
  EXPECT_FALSE(info.has_chat_template());
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_THAT(server.StderrText(), HasSubstr("chat template cannot be used"));
}

TEST(ServerChat, WithoutATemplateAChatIsRefused) {
  const ModelWith model("tokenizer_config.json", "{}");
  testing::ServerProcess server({"--model", model.path()});
  const auto stub = server.Connect();
  const Streamed got = Stream(*stub, Request(ChatOf({{"user", "Hi"}}), 1));
  EXPECT_EQ(got.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(got.status.error_message(), HasSubstr("has no chat template"));
}

}  // namespace
}  // namespace quire
