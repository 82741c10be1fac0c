// The quire command as a user runs it: everything but generate.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/cli_fixture.h"

namespace quire {
namespace {

using ::testing::AllOf;
using testing::CommandResult;
using testing::FakeServer;
using ::testing::HasSubstr;
using testing::RunQuire;
using ::testing::StartsWith;
using Json = nlohmann::json;

class Cli : public testing::CliTest {};

TEST_F(Cli, TheServerMayBeNamedInTheEnvironment) {
  const std::vector<std::string> environment = {"QUIRE_SERVER=" + server_.address()};
  EXPECT_EQ(RunQuire({"health"}, {.environment = environment}).out, "SERVING\n");
  // The flag goes first.
  EXPECT_EQ(Quire("health", {}, {.environment = {"QUIRE_SERVER=127.0.0.1:1"}}).exit_code, 0);
}

TEST(CliWithoutServer, SaysThatItCannotConnectAndWhere) {
  const std::string address = FakeServer().address();
  for (const char* command : {"generate", "health", "info", "bench"}) {
    const CommandResult result = RunQuire({command, "--server", address});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, StartsWith("quire: UNAVAILABLE: cannot connect to " + address +
                                       ": is quire-server running there?"));
  }
}

TEST(CliWithoutServer, WrongUsageExits2AndPointsToTheHelp) {
  for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
           {},
           {"frobnicate"},
           {"generate", "--frob"},
           {"generate", "a", "b"},
           {"generate", "--token-ids", "1,x"},
           {"generate", "--token-ids", "1", "Once"},
           {"generate", "--logit-bias", "3"},
           {"generate", "--logprobs", "2", "Once"},  // nowhere to put them without --json
           {"generate", "--json", "--json-stream", "Once"},
           {"generate", "--max-tokens", "-1", "Once"},
           {"bench", "--goodput", "speed:1"},
           {"bench", "--request-rate", "0"},
           {"embed", "--pooling", "max", "text"},
           {"rope-scaling", "linear:x"},
           {"rope-scaling"},
           {"abort"}}) {
    const CommandResult result = RunQuire(wrong);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, AllOf(StartsWith("quire: "), HasSubstr("--help.\n")));
  }
}

TEST(CliWithoutServer, WhatIsNotKnownIsNamedBeforeWhatIsMissing) {
  EXPECT_THAT(RunQuire({"frobnicate"}).err, HasSubstr("not expected: frobnicate"));
  EXPECT_THAT(RunQuire({"--frob"}).err, HasSubstr("not expected: --frob"));
  EXPECT_THAT(RunQuire({"abort", "--frob"}).err, HasSubstr("not expected: --frob"));
  EXPECT_THAT(RunQuire({}).err, HasSubstr("subcommand is required"));
}

TEST(CliWithoutServer, HelpAndVersionSucceed) {
  EXPECT_THAT(RunQuire({"--version"}).out, StartsWith("quire "));
  for (const char* command : {"generate", "embed", "tokenize", "cost", "abort", "info", "health",
                              "rope-scaling", "bench"}) {
    const CommandResult result = RunQuire({command, "--help"});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_THAT(result.out, AllOf(HasSubstr(absl::StrCat("Usage: quire ", command)),
                                  HasSubstr("[$QUIRE_SERVER]")));
  }
}

TEST_F(Cli, TokenizePrintsIdsThatDecodeReadsBack) {
  EXPECT_EQ(Quire("tokenize", {"hi"}).out, "0,104,105\n");
  EXPECT_EQ(Quire("tokenize", {"--no-special"}, {.input = "hi\n"}).out, "104,105\n");
  EXPECT_EQ(Quire("tokenize", {"--decode", "0,104,105"}).out, "hi");
  EXPECT_EQ(Quire("tokenize", {"--decode", "0,104,105", "--keep-special"}).out, "<s>hi");
  EXPECT_EQ(Quire("tokenize", {"--json", "hi"}).out, "{\"token_ids\":[0,104,105]}\n");
  EXPECT_EQ(Quire("tokenize", {"--json", "--decode", "104"}).out, "{\"text\":\"h\"}\n");
}

TEST_F(Cli, EmbedPrintsALineForEachText) {
  EXPECT_EQ(Quire("embed", {"hi", "you"}).out, "2.0999999 0 1\n3.0999999 0 1\n");
  EXPECT_EQ(Quire("embed", {"--pooling", "last", "--no-normalize"}, {.input = "a\nbcd\n"}).out,
            "1.10000002 3 0\n3.0999999 3 0\n");
  EXPECT_EQ(Quire("embed", {"--json", "--pooling", "cls", "hi", "y"}).out,
            "{\"index\":0,\"embedding\":[2.1,2.0,1.0]}\n"
            "{\"index\":1,\"embedding\":[1.1,2.0,1.0]}\n");
  const CommandResult empty = Quire("embed", {}, {.input = "\n"});
  EXPECT_EQ(empty.exit_code, 1);
  EXPECT_THAT(empty.err, HasSubstr("there is no text"));
  EXPECT_THAT(Quire("embed", {""}).err, HasSubstr("INVALID_ARGUMENT: inputs[0] is empty"));
}

TEST_F(Cli, EmbedAsksForManyTextsInSeveralCallsAndKeepsTheirOrder) {
  std::string input;
  std::string want;
  for (int i = 0; i < 600; ++i) {
    input += std::string(1 + i % 7, 'x') + "\n";
    want += absl::StrCat("{\"index\":", i, ",\"embedding\":[", 1 + i % 7, ".1,0.0,1.0]}\n");
  }
  EXPECT_EQ(Quire("embed", {"--json"}, {.input = input}).out, want);
}

TEST_F(Cli, CostTellsWhetherARequestFits) {
  EXPECT_EQ(Quire("cost", {"Once"}).out,
            "prompt    4 tokens, 0 of them cached\n"
            "KV cache  2 blocks, 3.0 MiB at its longest\n"
            "fits      now\n");
  EXPECT_THAT(Quire("cost", {"-n", "2000", "Once"}).out,
              HasSubstr("fits      never: longer than the capacity\n"));
  EXPECT_EQ(Json::parse(Quire("cost", {"--json", "Once"}).out)["kv_bytes"], 3 << 20);
}

TEST_F(Cli, AbortTellsWhetherTheRequestWasLive) {
  EXPECT_EQ(Quire("abort", {"live"}).out, "aborted\n");
  const CommandResult result = Quire("abort", {"gone"});
  EXPECT_EQ(result.out, "not live\n");
  EXPECT_EQ(result.exit_code, 0);
}

TEST_F(Cli, RopeScalingPrintsWhatIsInForce) {
  EXPECT_EQ(Quire("rope-scaling", {"yarn:4:32768"}).out, "6 4 32768\n");
  EXPECT_EQ(Quire("rope-scaling", {"none"}).out, "2 0 0\n");
  EXPECT_THAT(RunQuire({"rope-scaling", "cubic:2"}).err,
              AllOf(HasSubstr("\"cubic:2\" is no rotary scaling: there is no kind \"cubic\""),
                    HasSubstr("as linear:4")));
}

TEST_F(Cli, HealthExits0OnlyWhileTheServerServes) {
  EXPECT_EQ(Quire("health", {}).exit_code, 0);
  server_.SetServing(false);
  const CommandResult result = Quire("health", {});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("NOT_SERVING"));
}

TEST_F(Cli, InfoTellsModelAndServer) {
  const CommandResult result = Quire("info", {});
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("fake: FakeForCausalLM"), HasSubstr("3.1 M parameters"),
                    HasSubstr("quire-server 9.9 at " + server_.address()), HasSubstr("up 3h2m")));
  const Json json = Json::parse(Quire("info", {"--json"}).out);
  EXPECT_EQ(json["model"]["vocab_size"], 256);
  EXPECT_EQ(json["server"]["state"], "SERVING");
}

TEST_F(Cli, BenchPrintsTheBlockAndSavesTheJson) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/quire-bench-", getpid(), ".json");
  const CommandResult result =
      Quire("bench", {"--num-prompts", "8", "--input-len", "6", "--output-len", "4",
                      "--max-concurrency", "2", "--prefix-len", "3", "--warmup", "2", "--json",
                      path, "--save-detailed", "--goodput", "ttft:60000", "e2el:60000"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(StartsWith("============ Serving Benchmark Result ============\n"),
                                HasSubstr("Successful requests:                     8\n"),
                                HasSubstr("Total input tokens:                      72\n"),
                                HasSubstr("Total generated tokens:                  32\n")));
  Json json;
  std::ifstream(path) >> json;
  std::remove(path.c_str());
  EXPECT_EQ(json["completed"], 8);
  EXPECT_EQ(json["model_id"], "fake");
  EXPECT_EQ(json["output_lens"], Json(std::vector<int>(8, 4)));
  EXPECT_EQ(json["request_goodput"], json["request_throughput"]);
  EXPECT_GT(json["mean_ttft_ms"], 0);
  const auto requests = server_.requests();
  ASSERT_EQ(requests.size(), 10);  // with the two that warm up
  EXPECT_TRUE(requests[1].bypass_prefix_cache());
  EXPECT_FALSE(requests[2].bypass_prefix_cache());
  EXPECT_TRUE(requests[2].stopping().ignore_eos());
}

TEST_F(Cli, BenchCountsFailuresByStatusAndFailsIfAllFail) {
  server_.SetStream([](auto&, const auto&, const auto&) {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full");
  });
  const CommandResult result =
      Quire("bench", {"--num-prompts", "3", "--request-rate", "1000", "--burstiness", "inf"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("Failed requests:                         3\n"
                                    "  RESOURCE_EXHAUSTED:                    3\n"));
  EXPECT_EQ(result.err, "quire: a request failed: RESOURCE_EXHAUSTED: the queue is full\n");
}

TEST_F(Cli, BenchRefusesRequestsThatTheServerCouldNeverTake) {
  const CommandResult result = Quire("bench", {"--input-len", "4000", "--output-len", "200"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, StartsWith("quire: OUT_OF_RANGE: a request could need 4200 tokens"));
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(Cli, CtrlCEndsABenchAndReportsWhatThereIs) {
  server_.SetStream(server_.Hang());
  const auto command = Start("bench", {"--max-concurrency", "2"});
  ASSERT_TRUE(server_.AwaitStreams(2));
  command->Signal(SIGINT);
  const CommandResult result = command->Wait();
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_THAT(result.out, HasSubstr("  CANCELLED:                             2\n"));
  EXPECT_TRUE(server_.AwaitCancelled(2));
}

}  // namespace
}  // namespace quire
