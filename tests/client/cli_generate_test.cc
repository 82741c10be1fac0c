// quire generate as a user runs it.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli_fixture.h"

namespace quire {
namespace {

using ::testing::AllOf;
using testing::CommandResult;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::json;

class CliGenerate : public testing::CliTest {};

TEST_F(CliGenerate, GenerateWritesTheTextAndNoByteMore) {
  const CommandResult result = Quire("generate", {"Once"});
  EXPECT_EQ(result.out, " t0 t1 t2");
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(result.exit_code, 0);
}

TEST_F(CliGenerate, ThePromptIsTheArgument) {
  Quire("generate", {"Once upon"});
  EXPECT_EQ(server_.requests().at(0).text(), "Once upon");
}

TEST_F(CliGenerate, ThePromptComesFromAPipeLessItsLastNewline) {
  Quire("generate", {}, {.input = "Once\nupon\n"});
  Quire("generate", {"-"}, {.input = "a time\n\n"});
  EXPECT_EQ(server_.requests().at(0).text(), "Once\nupon");
  EXPECT_EQ(server_.requests().at(1).text(), "a time\n");
}

TEST_F(CliGenerate, ThePromptComesFromAFile) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/quire-prompt-", getpid());
  std::ofstream(path) << "from a file\n";
  Quire("generate", {"--file", path});
  std::remove(path.c_str());
  EXPECT_EQ(server_.requests().at(0).text(), "from a file");
}

TEST_F(CliGenerate, ThePromptMayBeTokenIds) {
  Quire("generate", {"--token-ids", "1,2, 3"});
  EXPECT_THAT(server_.requests().at(0).token_ids().ids(), ElementsAre(1, 2, 3));
}

TEST_F(CliGenerate, EveryRequestFlagReachesItsField) {
  const CommandResult result = Quire("generate", {"-n",
                                                  "5",
                                                  "--min-tokens",
                                                  "2",
                                                  "--temperature",
                                                  "0.5",
                                                  "--top-k",
                                                  "9",
                                                  "--top-p",
                                                  "0.75",
                                                  "--min-p",
                                                  "0.25",
                                                  "--seed",
                                                  "18446744073709551615",
                                                  "--repetition-penalty",
                                                  "1.5",
                                                  "--presence-penalty",
                                                  "-0.5",
                                                  "--frequency-penalty",
                                                  "0.125",
                                                  "--logit-bias",
                                                  "3=-1.5",
                                                  "--stop",
                                                  "a",
                                                  "--stop",
                                                  "b,c",
                                                  "--stop-token",
                                                  "7",
                                                  "--ignore-eos",
                                                  "--include-stop",
                                                  "--time-limit",
                                                  "1.5",
                                                  "--priority",
                                                  "-2",
                                                  "--tenant",
                                                  "me",
                                                  "--request-id",
                                                  "mine",
                                                  "--cache-salt",
                                                  "salt",
                                                  "--no-cache",
                                                  "--samples",
                                                  "2",
                                                  "--logprobs",
                                                  "0",
                                                  "--prompt-logprobs",
                                                  "--echo",
                                                  "--json",
                                                  "Once"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const v1::GenerateRequest request = server_.requests().at(0);
  EXPECT_EQ(request.text(), "Once");
  EXPECT_EQ(request.stopping().max_new_tokens(), 5);
  EXPECT_EQ(request.stopping().min_new_tokens(), 2);
  EXPECT_THAT(request.stopping().stop_strings(), ElementsAre("a", "b,c"));
  EXPECT_THAT(request.stopping().stop_token_ids(), ElementsAre(7));
  EXPECT_TRUE(request.stopping().ignore_eos());
  EXPECT_TRUE(request.stopping().include_stop_string());
  EXPECT_EQ(request.stopping().time_limit().seconds(), 1);
  EXPECT_EQ(request.stopping().time_limit().nanos(), 500'000'000);
  EXPECT_EQ(request.sampling().temperature(), 0.5F);
  EXPECT_EQ(request.sampling().top_k(), 9);
  EXPECT_EQ(request.sampling().top_p(), 0.75F);
  EXPECT_EQ(request.sampling().min_p(), 0.25F);
  EXPECT_EQ(request.sampling().seed(), ~uint64_t{0});
  EXPECT_EQ(request.sampling().repetition_penalty(), 1.5F);
  EXPECT_EQ(request.sampling().presence_penalty(), -0.5F);
  EXPECT_EQ(request.sampling().frequency_penalty(), 0.125F);
  EXPECT_EQ(request.sampling().logit_bias().at(3), -1.5F);
  EXPECT_EQ(request.priority(), -2);
  EXPECT_EQ(request.tenant(), "me");
  EXPECT_EQ(request.request_id(), "mine");
  EXPECT_EQ(request.cache_salt(), "salt");
  EXPECT_TRUE(request.bypass_prefix_cache());
  EXPECT_EQ(request.num_sequences(), 2);
  EXPECT_TRUE(request.response().has_top_logprobs());
  EXPECT_TRUE(request.response().prompt_logprobs());
  EXPECT_TRUE(request.response().echo_prompt());
}

TEST_F(CliGenerate, SamplesArePrintedWholeAndInOrder) {
  const CommandResult result = Quire("generate", {"--samples", "2", "--echo", "-n", "2", "Once"});
  EXPECT_EQ(result.out,
            "--- prompt ---\nOnce\n"
            "--- sample 0: MAX_TOKENS ---\n t0 t1\n"
            "--- sample 1: MAX_TOKENS ---\n t0 t1\n");
}

TEST_F(CliGenerate, EchoPutsThePromptBeforeTheText) {
  EXPECT_EQ(Quire("generate", {"--echo", "Once"}).out, "Once t0 t1 t2");
}

TEST_F(CliGenerate, JsonIsTheWholeResult) {
  const CommandResult result = Quire("generate", {"--json", "--seed", "7", "Once"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["seed"], 7);
  EXPECT_EQ(json["request_id"], "made-up");
  EXPECT_EQ(json["usage"]["prompt_tokens"], 4);
  EXPECT_EQ(json["usage"]["completion_tokens"], 3);
  EXPECT_EQ(json["timings"]["total_s"], 0.25);
  const Json& sequence = json["sequences"][0];
  EXPECT_EQ(sequence["text"], " t0 t1 t2");
  EXPECT_THAT(sequence["token_ids"], ElementsAre(100, 101, 102));
  EXPECT_EQ(sequence["finish_reason"], "MAX_TOKENS");
  EXPECT_FALSE(json.contains("error"));
}

TEST_F(CliGenerate, JsonStreamIsALineForEachEvent) {
  const CommandResult result = Quire("generate", {"--json-stream", "-n", "1", "Once"});
  const std::vector<std::string> lines = absl::StrSplit(result.out, '\n');
  ASSERT_EQ(lines.size(), 4) << result.out;  // the last is empty
  EXPECT_EQ(Json::parse(lines[0])["started"]["prompt_tokens"], 4);
  EXPECT_EQ(Json::parse(lines[1])["delta"]["text"], " t0");
  EXPECT_EQ(Json::parse(lines[2])["finished"]["finish_reason"], "MAX_TOKENS");
}

TEST_F(CliGenerate, VerboseSumsUpOnStandardError) {
  const CommandResult result = Quire("generate", {"-v", "--seed", "7", "Once"});
  EXPECT_EQ(result.out, " t0 t1 t2");
  EXPECT_THAT(result.err, AllOf(StartsWith("[3 tokens in "), HasSubstr(" tok/s), TTFT "),
                                HasSubstr(", MAX_TOKENS; prompt 4 tokens, seed 7]\n")));
}

TEST_F(CliGenerate, ARefusalIsOneLineWithCodeMessageAndWhatToDo) {
  server_.SetStream([](auto&, const auto&, const auto&) {
    return testing::WithRetryInfo(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue\nis full", 2);
  });
  const CommandResult result = Quire("generate", {"Once"});
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "quire: RESOURCE_EXHAUSTED: the queue is full; try again in 2 s\n");
  EXPECT_EQ(result.exit_code, 1);
}

TEST_F(CliGenerate, AFailureUnderWayKeepsWhatHasComeAndFails) {
  server_.SetStream([](auto&, const auto&, const auto& write) {
    write(testing::Started("id", 1, 2));
    write(testing::Delta(0, "half", {1}));
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "shutting down");
  });
  const CommandResult text = Quire("generate", {"Once"});
  EXPECT_EQ(text.out, "half");
  EXPECT_EQ(text.err, "quire: UNAVAILABLE: shutting down\n");
  EXPECT_EQ(text.exit_code, 1);
  const CommandResult json = Quire("generate", {"--json", "Once"});
  EXPECT_EQ(json.exit_code, 1);
  EXPECT_EQ(Json::parse(json.out)["sequences"][0]["text"], "half");
  EXPECT_EQ(Json::parse(json.out)["error"]["code"], "UNAVAILABLE");
}

TEST_F(CliGenerate, CtrlCCancelsOnTheServerAndKeepsWhatHasCome) {
  server_.SetStream(server_.Hang());
  const auto command = Start("generate", {"-v", "Once"});
  ASSERT_TRUE(command->AwaitOutput(" t0"));
  command->Signal(SIGINT);
  const CommandResult result = command->Wait();
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_EQ(result.out, " t0");
  EXPECT_THAT(result.err, AllOf(StartsWith("[1 tokens in "), HasSubstr("not finished"),
                                Not(HasSubstr("quire:"))));
  EXPECT_TRUE(server_.AwaitCancelled(1));
}

TEST_F(CliGenerate, CtrlCWithJsonGivesTheResultWithItsTrueUsage) {
  server_.SetStream(server_.HangUntilAborted());
  const auto command = Start("generate", {"--json", "Once"});
  ASSERT_TRUE(server_.AwaitStreams(1));
  // With --json nothing tells that quire has seen Started.
  usleep(300'000);
  command->Signal(SIGINT);
  const CommandResult result = command->Wait();
  EXPECT_EQ(result.exit_code, 130);
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["sequences"][0]["finish_reason"], "CANCELLED");
  EXPECT_EQ(json["sequences"][0]["text"], " t0");
  EXPECT_EQ(json["usage"]["completion_tokens"], 5);
  EXPECT_FALSE(json.contains("error")) << json["error"];
}

TEST_F(CliGenerate, TextThatIsNotUtf8IsNamedWithItsSourceAndNotSent) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/quire-latin1-", getpid());
  std::ofstream(path) << "caf\xe9\n";
  const CommandResult file = Quire("generate", {"--file", path});
  std::remove(path.c_str());
  EXPECT_EQ(file.err,
            "quire: INVALID_ARGUMENT: " + path + " is not UTF-8: the byte at offset 3 is 0xe9\n");
  EXPECT_EQ(file.exit_code, 1);
  EXPECT_THAT(Quire("generate", {}, {.input = "\xff"}).err,
              HasSubstr("standard input is not UTF-8: the byte at offset 0 is 0xff"));
  EXPECT_THAT(Quire("generate", {"--stop", "a\xff", "Once"}).err,
              StartsWith("quire: --stop: the value is not UTF-8: the byte at offset 1 is 0xff\n"));
  EXPECT_THAT(Quire("generate", {"caf\xe9"}).err, HasSubstr("the value is not UTF-8"));
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(CliGenerate, ATimeoutIsDeadlineExceeded) {
  server_.SetStream(server_.Hang());
  const CommandResult result = Quire("generate", {"--timeout", "0.2", "Once"});
  EXPECT_EQ(result.out, " t0");
  EXPECT_THAT(result.err, StartsWith("quire: DEADLINE_EXCEEDED: "));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(server_.AwaitCancelled(1));
}

TEST_F(CliGenerate, SigtermCancelsToo) {
  server_.SetStream(server_.Hang());
  const auto command = Start("generate", {"Once"});
  ASSERT_TRUE(command->AwaitOutput(" t0"));
  command->Signal(SIGTERM);
  EXPECT_EQ(command->Wait().exit_code, 143);
  EXPECT_TRUE(server_.AwaitCancelled(1));
}

TEST_F(CliGenerate, BeingKilledCancelsOnTheServer) {
  server_.SetStream(server_.Hang());
  const auto command = Start("generate", {"Once"});
  ASSERT_TRUE(command->AwaitOutput(" t0"));
  command->Signal(SIGKILL);
  EXPECT_EQ(command->Wait().exit_code, 137);
  EXPECT_TRUE(server_.AwaitCancelled(1));
}

}  // namespace
}  // namespace quire
