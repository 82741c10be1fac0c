// Generation without end behind a window with sinks, through the real server.
#include <csignal>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/server_process.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

const char kModels[] = QUIRE_SOURCE_DIR "/tests/golden/models/";

v1::GenerateRequest Greedy(const std::vector<uint32_t>& prompt, uint32_t max_new_tokens) {
  v1::GenerateRequest request;
  for (uint32_t id : prompt) request.mutable_token_ids()->add_ids(id);
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stopping()->set_max_new_tokens(max_new_tokens);
  request.mutable_stopping()->set_ignore_eos(true);
  request.mutable_response()->set_token_ids(true);
  request.mutable_response()->set_text(false);
  return request;
}

TEST(SinksE2e, TextPassesTheContextAndMeetsTheOracle) {
  const auto golden =
      nlohmann::json::parse(std::ifstream(QUIRE_SOURCE_DIR "/tests/golden/sinks.json"));
  const auto& wanted = golden.at("cases").at(0);
  const std::string model = wanted.at("model");
  testing::ServerProcess process(
      {"--model", kModels + model, "--dtype", "float32", "--kv-cache-bytes", "512KiB",
       "--max-batch-tokens", "64", "--max-num-sequences", "2", "--attention-sinks",
       std::to_string(wanted.at("sinks").get<int>()), "--attention-window",
       std::to_string(wanted.at("window").get<int>())});
  ASSERT_FALSE(process.address().empty()) << process.StderrText();
  const auto stub = process.Connect();
  for (const auto& prompt : wanted.at("prompts")) {
    const auto greedy = prompt.at("greedy_ids").get<std::vector<uint32_t>>();
    grpc::ClientContext context;
    v1::GenerateResponse response;
    const grpc::Status status = stub->Generate(
        &context, Greedy(prompt.at("ids"), static_cast<uint32_t>(greedy.size())), &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    const auto& ids = response.sequences(0).token_ids();
    EXPECT_EQ(std::vector<uint32_t>(ids.begin(), ids.end()), greedy);
  }
  grpc::ClientContext info_context;
  v1::ServerInfo info;
  ASSERT_TRUE(stub->GetServerInfo(&info_context, {}, &info).ok());
  ASSERT_EQ(info.kv_groups_size(), 1);
  EXPECT_EQ(info.kv_groups(0).sinks(), wanted.at("sinks").get<uint32_t>());
  EXPECT_EQ(info.kv_groups(0).window(), wanted.at("window").get<uint32_t>());

  grpc::ClientContext context;
  v1::GenerateResponse response;
  const grpc::Status status = stub->Generate(&context, Greedy({5, 6, 7}, 1000), &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.sequences(0).token_ids_size(), 1000);
  process.Signal(SIGTERM);
  EXPECT_EQ(process.Wait(), 0) << process.StderrText();
}

TEST(SinksE2e, FlagsThatContradictEachOtherEndTheStart) {
  testing::ServerProcess process(
      {"--model", kModels + std::string("llama3"), "--attention-sinks", "4"});
  EXPECT_TRUE(process.address().empty());
  EXPECT_EQ(process.Wait(), 1);
  EXPECT_THAT(process.StderrText(), HasSubstr("--attention-sinks 4 needs --attention-window"));
}

}  // namespace
}  // namespace quire
