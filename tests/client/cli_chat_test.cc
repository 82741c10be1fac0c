// quire chat, and the chat flags of generate and tokenize, as a user runs them.
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli_fixture.h"
#include "tests/client/terminal.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

using testing::CommandResult;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using testing::Terminal;

class CliChat : public testing::CliTest {
 protected:
  // The messages of a request, as ROLE:TEXT.
  static std::vector<std::string> MessagesOf(const v1::GenerateRequest& request) {
    std::vector<std::string> messages;
    for (const v1::ChatMessage& message : request.chat().messages()) {
      messages.push_back(absl::StrCat(message.role(), ":", message.content()));
    }
    return messages;
  }

  std::vector<std::string> LastMessages() const { return MessagesOf(server_.requests().back()); }

  CommandResult Chat(const std::string& input, std::vector<std::string> arguments = {}) {
    return Quire("chat", std::move(arguments), {.input = input});
  }

  Terminal Sit(std::vector<std::string> arguments = {}) {
    arguments.insert(arguments.begin(), {testing::kQuire, "chat", "--server", server_.address()});
    return Terminal(std::move(arguments));
  }
};

TEST_F(CliChat, EachLineIsATurnAndTheHistoryGoesWithIt) {
  const CommandResult result = Chat("Hello\n\nAnd then?\n", {"--system", "Be brief."});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, " t0 t1 t2\n t0 t1 t2\n");
  ASSERT_EQ(server_.requests().size(), 2U);
  EXPECT_THAT(MessagesOf(server_.requests()[0]), ElementsAre("system:Be brief.", "user:Hello"));
  EXPECT_THAT(LastMessages(), ElementsAre("system:Be brief.", "user:Hello", "assistant: t0 t1 t2",
                                          "user:And then?"));
}

TEST_F(CliChat, MessagesMayHaveSeveralLines) {
  EXPECT_EQ(
      Chat("a \\\nb\\\nc\n\"\"\"\nd\n\ne\n\"\"\"\n\"\"\"f\"\"\"\n//etc is a path\n").exit_code, 0);
  EXPECT_THAT(LastMessages(), ElementsAre("user:a \nb\nc", "assistant: t0 t1 t2", "user:d\n\ne",
                                          "assistant: t0 t1 t2", "user:f", "assistant: t0 t1 t2",
                                          "user:/etc is a path"));
}

TEST_F(CliChat, CommandsChangeTheMessages) {
  EXPECT_EQ(Chat("one\ntwo\n/undo\n/system S\nthree\n").exit_code, 0);
  EXPECT_THAT(LastMessages(),
              ElementsAre("system:S", "user:one", "assistant: t0 t1 t2", "user:three"));
  EXPECT_EQ(Chat("one\n/system S\n/reset\ntwo\n/system\nthree\n").exit_code, 0);
  EXPECT_THAT(LastMessages(), ElementsAre("user:two", "assistant: t0 t1 t2", "user:three"));
}

TEST_F(CliChat, SettingsHoldForWhatFollows) {
  const CommandResult result = Chat(
      "/set temperature 0.7\n/set top_k=5\n/set max_tokens 2\nhi\n/set temperature default\nho\n",
      {"--seed", "9"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("temperature is 0.7\n"));
  const v1::GenerateRequest first = server_.requests()[0];
  EXPECT_FLOAT_EQ(first.sampling().temperature(), 0.7F);
  EXPECT_EQ(first.sampling().top_k(), 5U);
  EXPECT_EQ(first.sampling().seed(), 9U);
  EXPECT_EQ(first.stopping().max_new_tokens(), 2U);
  EXPECT_FALSE(server_.requests()[1].sampling().has_temperature());
}

TEST_F(CliChat, WhatIsSavedCanBeLoaded) {
  const testing::TempDir directory;
  const std::string path = directory.File("chat.json");
  EXPECT_EQ(Chat("grüß \"dich\"\n/save " + path + "\n", {"--system", "S"}).exit_code, 0);
  EXPECT_EQ(Chat("/load " + path + "\nmore\n").exit_code, 0);
  EXPECT_THAT(LastMessages(),
              ElementsAre("system:S", "user:grüß \"dich\"", "assistant: t0 t1 t2", "user:more"));
  EXPECT_EQ(Chat("more\n", {"--load", path}).exit_code, 0);
  EXPECT_EQ(LastMessages().size(), 4U);
  for (const char* wrong : {"{", "[]", R"({"messages": [{"role": 1}]})"}) {
    directory.Write("wrong.json", wrong);
    const CommandResult result = Chat("/load " + directory.File("wrong.json") + "\n");
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_THAT(result.err, HasSubstr("wrong.json")) << wrong;
  }
}

TEST_F(CliChat, WhatIsWrongIsSaidAndEndsAScript) {
  for (const auto& [input, part] : std::vector<std::pair<std::string, std::string>>{
           {"/frob\nhi\n", "there is no command /frob"},
           {"/set speed 1\n", "no setting speed"},
           {"/set top_k many\n", "\"many\" is no value of top_k"},
           {"/set top_k\n", "write a name and a value"},
           {"/undo\n", "no message to take back"},
           {"/save\n", "/save FILE"},
           {"/save /nonexistent/x\n", "cannot write /nonexistent/x"},
           {"/load /nonexistent/x\n", "cannot read /nonexistent/x"}}) {
    const CommandResult result = Chat(input);
    EXPECT_EQ(result.exit_code, 1) << input;
    EXPECT_THAT(result.err, HasSubstr(part)) << input;
  }
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(CliChat, AModelWithoutATemplateIsNamedAtOnce) {
  server_.SetHasChatTemplate(false);
  const CommandResult result = Chat("hi\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, StartsWith("quire: FAILED_PRECONDITION: the server's model fake has no"));
}

TEST_F(CliChat, ARefusalLeavesTheMessageOut) {
  server_.SetStream([](grpc::ServerContext&, const v1::GenerateRequest&, const auto&) {
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the template refuses");
  });
  Terminal terminal = Sit();
  ASSERT_TRUE(terminal.Await("> "));
  terminal.Type("one\r");
  ASSERT_TRUE(terminal.Await("quire: INVALID_ARGUMENT: the template refuses"));
  server_.SetStream(&testing::FakeServer::Echo);
  ASSERT_TRUE(terminal.Await("> "));
  terminal.Type("two\r");
  ASSERT_TRUE(terminal.Await(" t0 t1 t2")) << terminal.shown();
  EXPECT_THAT(LastMessages(), ElementsAre("user:two"));
}

TEST_F(CliChat, CtrlCStopsTheAnswerAndKeepsWhatCame) {
  server_.SetStream(server_.HangUntilAborted());
  Terminal terminal = Sit();
  ASSERT_TRUE(terminal.Await("> ")) << terminal.shown();
  terminal.Type("one\r");
  ASSERT_TRUE(terminal.Await(" t0"));
  terminal.Type("\x03");
  ASSERT_TRUE(terminal.Await("[stopped]")) << terminal.shown();
  server_.SetStream(&testing::FakeServer::Echo);
  ASSERT_TRUE(terminal.Await("> "));
  terminal.Type("two\r");
  ASSERT_TRUE(terminal.Await(" t0 t1 t2"));
  ASSERT_TRUE(terminal.Await("> "));
  EXPECT_THAT(LastMessages(), ElementsAre("user:one", "assistant: t0", "user:two"));
  // At the prompt it quits, and leaves the terminal as it was.
  terminal.Type("half a li\x03");
  EXPECT_EQ(terminal.Wait(), 130) << terminal.shown();
  EXPECT_TRUE(terminal.IsCooked());
}

TEST_F(CliChat, CtrlDQuits) {
  Terminal terminal = Sit();
  ASSERT_TRUE(terminal.Await("fake, 4096 tokens of context"));
  ASSERT_TRUE(terminal.Await("> "));
  ASSERT_TRUE(terminal.AwaitRaw());
  terminal.Type("\x04");
  EXPECT_EQ(terminal.Wait(), 0) << terminal.shown();
  EXPECT_TRUE(terminal.IsCooked());
}

TEST_F(CliChat, TheArrowKeysBringEarlierLinesBack) {
  Terminal terminal = Sit();
  ASSERT_TRUE(terminal.Await("> "));
  terminal.Type("première\r");
  ASSERT_TRUE(terminal.Await(" t0 t1 t2"));
  ASSERT_TRUE(terminal.Await("> "));
  terminal.Type("\x1b[A!\r");
  ASSERT_TRUE(terminal.Await(" t0 t1 t2"));
  EXPECT_EQ(LastMessages().back(), "user:première!");
  ASSERT_TRUE(terminal.Await("> "));
  terminal.Type("/quit\r");
  EXPECT_EQ(terminal.Wait(), 0);
}

TEST_F(CliChat, GenerateAndTokenizeTakeMessages) {
  EXPECT_EQ(Quire("generate", {"--chat", "Hi"}).exit_code, 0);
  EXPECT_THAT(LastMessages(), ElementsAre("user:Hi"));
  EXPECT_EQ(Quire("generate", {"--system", "S", "Hi"}).exit_code, 0);
  EXPECT_THAT(LastMessages(), ElementsAre("system:S", "user:Hi"));
  EXPECT_EQ(Quire("generate", {"--message", "user:a:b", "--message", "assistant:", "--system", "S"})
                .exit_code,
            0);
  EXPECT_THAT(LastMessages(), ElementsAre("system:S", "user:a:b", "assistant:"));
  EXPECT_EQ(Quire("generate", {"--message", "user:a", "--message", "assistant:b", "c"}).exit_code,
            0);
  EXPECT_THAT(LastMessages(), ElementsAre("user:a", "assistant:b", "user:c"));
  EXPECT_EQ(Quire("generate", {"--chat"}, {.input = "piped\n"}).exit_code, 0);
  EXPECT_THAT(LastMessages(), ElementsAre("user:piped"));
  EXPECT_EQ(Quire("tokenize", {"--message", "u:AB"}).out, "117,65,66\n");
  EXPECT_EQ(Quire("tokenize", {"--chat", "A"}).out, "117,115,101,114,65\n");
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{{"generate", "--message", "nobody"},
                                             {"generate", "--message", ":text"},
                                             {"generate", "--chat", "--token-ids", "1"},
                                             {"tokenize", "--chat", "--decode", "1"},
                                             {"tokenize", "--chat", "--no-special", "x"},
                                             {"chat", "words"}}) {
    EXPECT_EQ(testing::RunQuire(wrong).exit_code, 2) << wrong.back();
  }
}

}  // namespace
}  // namespace quire
