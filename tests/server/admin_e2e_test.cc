// Rotary scaling of a running server, and as a start flag, through the real server.
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/rope_scaling_text.h"
#include "quire/v1/admin.grpc.pb.h"
#include "tests/server/e2e_client.h"
#include "tests/testing/server_process.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

const char kRotaryModel[] = QUIRE_SOURCE_DIR "/tests/golden/models/llama_yarn";

class Server {
 public:
  explicit Server(std::vector<std::string> args) : process_(With(std::move(args))) {
    EXPECT_FALSE(process_.address().empty()) << process_.StderrText();
    stub_ = process_.Connect();
    admin_ = v1::AdminService::NewStub(
        grpc::CreateChannel(process_.address(), grpc::InsecureChannelCredentials()));
  }
  ~Server() {
    process_.Signal(SIGTERM);
    EXPECT_EQ(process_.Wait(), 0) << process_.StderrText();
  }

  grpc::Status Set(const v1::SetRopeScalingRequest& request, std::string* in_force = nullptr) {
    grpc::ClientContext context;
    v1::SetRopeScalingResponse response;
    const grpc::Status status = admin_->SetRopeScaling(&context, request, &response);
    if (in_force != nullptr) *in_force = response.rope_scaling();
    return status;
  }
  grpc::Status Set(const std::string& scaling, std::string* in_force = nullptr) {
    return Set(ParseRopeScaling(scaling).value(), in_force);
  }
  v1::ModelInfo Info() {
    grpc::ClientContext context;
    v1::ModelInfo info;
    EXPECT_TRUE(stub_->GetModelInfo(&context, {}, &info).ok());
    return info;
  }
  static v1::GenerateRequest Prompt(uint32_t max_new_tokens) {
    v1::GenerateRequest request;
    for (uint32_t i = 0; i < 150; ++i) request.mutable_token_ids()->add_ids(3 + i * 7 % 300);
    request.mutable_sampling()->set_temperature(0);
    request.mutable_stopping()->set_max_new_tokens(max_new_tokens);
    request.mutable_stopping()->set_ignore_eos(true);
    request.mutable_response()->set_token_ids(true);
    request.mutable_response()->set_text(false);
    request.mutable_response()->set_top_logprobs(0);
    return request;
  }
  v1::GeneratedSequence Generate(uint32_t max_new_tokens) {
    grpc::ClientContext context;
    v1::GenerateResponse response;
    const grpc::Status status = stub_->Generate(&context, Prompt(max_new_tokens), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.sequences(0);
  }
  v1::GenerationService::Stub& stub() { return *stub_; }

 private:
  static std::vector<std::string> With(std::vector<std::string> args) {
    for (const char* arg : {"--model", kRotaryModel, "--kv-cache-bytes", "4MiB", "--block-tokens",
                            "16", "--dtype", "float32"}) {
      args.emplace_back(arg);
    }
    return args;
  }

  testing::ServerProcess process_;
  std::unique_ptr<v1::GenerationService::Stub> stub_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
};

std::string Tokens(const v1::GeneratedSequence& sequence) {
  std::string text;
  for (const v1::TokenLogprobs& token : sequence.logprobs()) text += token.SerializeAsString();
  return text;
}

TEST(AdminE2e, LaterRequestsTakeTheScalingAndLiveOnesKeepTheirs) {
  Server server({});
  EXPECT_EQ(server.Info().rope_scaling(), "model");
  const std::string own = Tokens(server.Generate(90));

  grpc::ClientContext context;
  const auto live = server.stub().GenerateStream(&context, Server::Prompt(90));
  v1::GenerateEvent event;
  while (live->Read(&event) && !event.has_delta()) {
  }
  std::string in_force;
  ASSERT_TRUE(server.Set("linear:4", &in_force).ok());
  EXPECT_EQ(in_force, "linear:4");
  EXPECT_EQ(server.Info().rope_scaling(), "linear:4");
  const v1::GeneratedSequence scaled = server.Generate(90);
  EXPECT_EQ(scaled.usage().cached_prompt_tokens(), 0U);
  EXPECT_NE(Tokens(scaled), own);
  std::string live_tokens;
  do {
    for (const auto& token : event.delta().logprobs()) live_tokens += token.SerializeAsString();
  } while (live->Read(&event));
  EXPECT_TRUE(live->Finish().ok());
  EXPECT_EQ(live_tokens, own);

  // What the flag of the same name gives, to the bit.
  Server started({"--rope-scaling", "linear:4"});
  EXPECT_EQ(started.Info().rope_scaling(), "linear:4");
  EXPECT_EQ(started.Info().capacity_tokens(), 1024U);
  EXPECT_EQ(Tokens(started.Generate(90)), Tokens(scaled));
  ASSERT_TRUE(started.Set("model").ok());
  EXPECT_EQ(Tokens(started.Generate(90)), own);
}

TEST(AdminE2e, BadScalingsAreRefusedByNameAndChangeNothing) {
  Server server({});
  const auto refusal = [&](const v1::SetRopeScalingRequest& request) {
    const grpc::Status status = server.Set(request);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return status.error_message();
  };
  EXPECT_THAT(refusal({}), HasSubstr("kind is 0; set MODEL, NONE, LINEAR"));
  EXPECT_THAT(refusal(ParseRopeScaling("linear").value()),
              HasSubstr("factor is not set, but the rotary scaling linear"));
  EXPECT_THAT(refusal(ParseRopeScaling("none:2").value()), HasSubstr("factor is set"));
  EXPECT_THAT(
      refusal(ParseRopeScaling("linear:0.5").value()),
      HasSubstr("the factor of a rotary scaling is 0.5, expected a number from 1 to 10000"));
  EXPECT_THAT(refusal(ParseRopeScaling("linear:nan").value()), HasSubstr("is nan, expected"));
  EXPECT_THAT(refusal(ParseRopeScaling("yarn:4:0").value()), HasSubstr("original_context is 0"));
  EXPECT_THAT(refusal(ParseRopeScaling("ntk:4:64").value()),
              HasSubstr("only yarn and dynamic have an original context"));
  EXPECT_EQ(server.Info().rope_scaling(), "model");
}

TEST(AdminE2e, ABadStartFlagIsOneLine) {
  testing::ServerProcess server({"--model", kRotaryModel, "--rope-scaling", "cubic:4"});
  EXPECT_EQ(server.address(), "");
  EXPECT_EQ(server.Wait(), 1);
  EXPECT_THAT(server.StderrText(), HasSubstr("--rope-scaling: \"cubic:4\" is no rotary scaling"));
}

}  // namespace
}  // namespace quire
