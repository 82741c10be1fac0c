// The real server from its command line to its end: flags, files, addresses, signals, drain.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "gtest/gtest.h"
#include "tests/server/e2e_client.h"
#include "tests/testing/server_process.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::kModel;
using ::testing::Not;
using testing::RawCall;
using testing::Stream;
using testing::Text;

TEST(ServerDrain, SigtermLetsLiveStreamsEndRefusesNewOnesAndExitsZero) {
  testing::ServerProcess server({"--model", kModel, "--drain-seconds", "20"});
  const auto stub = server.Connect();
  v1::GenerateRequest request = Text("Once", 400);
  request.mutable_stopping()->set_ignore_eos(true);
  grpc::ClientContext context;
  const auto reader = stub->GenerateStream(&context, request);
  v1::GenerateEvent event;
  ASSERT_TRUE(reader->Read(&event));
  server.Signal(SIGTERM);
  grpc::Status refused;
  for (int i = 0; i < 100; ++i) {
    refused = Stream(*stub, Text("A", 1)).status;
    if (!refused.ok()) break;
  }
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(refused.error_details()));
  google::rpc::RetryInfo retry;
  ASSERT_EQ(details.details_size(), 1);
  EXPECT_TRUE(details.details(0).UnpackTo(&retry));
  EXPECT_GE(retry.retry_delay().seconds(), 1);
  uint32_t completion_tokens = 0;
  while (reader->Read(&event)) {
    if (event.has_finished()) completion_tokens = event.finished().usage().completion_tokens();
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(completion_tokens, 400U);
  EXPECT_EQ(server.Wait(), 0) << server.StderrText();
}

TEST(ServerDrain, WhatOutlastsTheDrainEndsWithUnavailableAndTheUsageOfAllItsSequences) {
  testing::ServerProcess server({"--model", kModel, "--drain-seconds", "0.1"});
  const auto stub = server.Connect();
  v1::GenerateRequest request = Text("Once", 2000);
  request.mutable_stopping()->set_ignore_eos(true);
  request.set_num_sequences(3);
  request.mutable_response()->set_token_ids(true);
  grpc::ClientContext context;
  const auto reader = stub->GenerateStream(&context, request);
  v1::GenerateEvent event;
  ASSERT_TRUE(reader->Read(&event));
  const uint32_t prompt_tokens = event.started().prompt_tokens();
  server.Signal(SIGTERM);
  v1::GenerateEvent last;
  uint32_t num_tokens = 0;
  while (reader->Read(&event)) {
    last = event;
    num_tokens += static_cast<uint32_t>(event.delta().token_ids_size());
  }
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(last.failed().code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(last.failed().usage().completion_tokens(), num_tokens);
  EXPECT_EQ(last.failed().usage().prompt_tokens(), prompt_tokens);
  EXPECT_EQ(server.Wait(), 0) << server.StderrText();
}

// A directory that only --load-format random takes.
void WriteConfig(const testing::TempDir& directory, int hidden, int layers, int context) {
  directory.Write("config.json", absl::StrCat(R"({
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300, "tie_word_embeddings": true,
    "torch_dtype": "float32", "hidden_size": )",
                                              hidden, R"(, "num_hidden_layers": )", layers,
                                              R"(, "intermediate_size": )", 4 * hidden,
                                              R"(, "max_position_embeddings": )", context, "}"));
}

TEST(ServerDrain, AStepLongerThanTheLastWritesStillEndsItsRequestWithAnEvent) {
  testing::TempDir directory;
  WriteConfig(directory, /*hidden=*/1024, /*layers=*/6, /*context=*/4096);
  testing::ServerProcess server({"--model", directory.path(), "--load-format", "random",
                                 "--max-batch-tokens", "4096", "--threads", "1", "--cpu-isa",
                                 "portable", "--drain-seconds", "0"});
  ASSERT_FALSE(server.address().empty()) << server.StderrText();
  const auto stub = server.Connect();
  v1::GenerateRequest request;
  for (uint32_t i = 0; i < 700; ++i) request.mutable_token_ids()->add_ids(i % 300);
  grpc::ClientContext context;
  const auto reader = stub->GenerateStream(&context, request);
  v1::GenerateEvent event;
  ASSERT_TRUE(reader->Read(&event));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // the step has begun
  server.Signal(SIGTERM);
  v1::GenerateEvent last;
  while (reader->Read(&event)) last = event;
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(last.failed().code(), grpc::StatusCode::UNAVAILABLE) << last.ShortDebugString();
  EXPECT_EQ(server.Wait(), 0) << server.StderrText();
}

TEST(ServerDrain, HealthTurnsNotServingWhileLiveStreamsGoOn) {
  testing::ServerProcess server({"--model", kModel, "--drain-seconds", "20"});
  const std::string serving = "\x08\x01";
  const std::string not_serving = "\x08\x02";
  const std::string service = "\x0a\x1aquire.v1.GenerationService";
  const auto health = [&](const std::string& request) {
    std::string answer;
    const grpc::Status status =
        RawCall(server.address(), "/grpc.health.v1.Health/Check", request, &answer);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return answer;
  };
  EXPECT_EQ(health(""), serving);
  EXPECT_EQ(health(service), serving);
  v1::GenerateRequest request = Text("Once", 2000);
  request.mutable_stopping()->set_ignore_eos(true);
  grpc::ClientContext context;
  const auto stub = server.Connect();
  const auto reader = stub->GenerateStream(&context, request);
  v1::GenerateEvent event;
  ASSERT_TRUE(reader->Read(&event));
  server.Signal(SIGTERM);
  for (int i = 0; i < 100 && health("") == serving; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(health(""), not_serving);
  EXPECT_EQ(health(service), not_serving);
  EXPECT_TRUE(reader->Read(&event)) << "the stream goes on";
  context.TryCancel();
  EXPECT_EQ(server.Wait(), 0) << server.StderrText();
  EXPECT_THAT(server.StderrText(), HasSubstr("stopped\n"));
}

// Starts a server that must not start; returns its stderr.
std::string FailedStart(const std::vector<std::string>& args) {
  testing::ServerProcess server(args);
  EXPECT_TRUE(server.address().empty());
  EXPECT_EQ(server.Wait(), 1);
  return server.StderrText();
}

TEST(ServerStart, WrongFlagsAndFilesGiveOneClearLineAndExitCodeOne) {
  EXPECT_THAT(FailedStart({}), HasSubstr("--model is required"));
  EXPECT_THAT(FailedStart({"--no-such-flag"}), HasSubstr("not expected: --no-such-flag"));
  EXPECT_THAT(FailedStart({"serve"}), HasSubstr("not expected: serve"));
  EXPECT_THAT(FailedStart({"--model", kModel, "--kv-cache-bytes", "lots"}),
              HasSubstr("\"lots\" is no size"));
  EXPECT_THAT(FailedStart({"--model", kModel, "--max-batch-tokens", "8"}),
              HasSubstr("--max-batch-tokens (8) must not be below --max-num-sequences (64)"));
  EXPECT_THAT(FailedStart({"--model", kModel, "--dtype", "float16"}),
              HasSubstr("--dtype: float16 not in {auto,bfloat16,float32}"));
  EXPECT_THAT(FailedStart({"--model", kModel, "--batch-invariance", "maybe"}),
              HasSubstr("--batch-invariance: maybe not in {on,off}"));
  EXPECT_THAT(FailedStart({"--model", kModel, "--device", "cuda"}), HasSubstr("CUDA"));
  EXPECT_THAT(FailedStart({"--model", kModel, "--cpu-isa", "sse9"}), HasSubstr("sse9"));
  EXPECT_THAT(FailedStart({"--model", kModel, "--kv-cache-bytes", "1000"}),
              HasSubstr("a KV cache of 1000 bytes is too small: the least that works is"));
  EXPECT_THAT(FailedStart({"--model", kModel, "--kv-cache-bytes", "1000TiB"}),
              AllOf(HasSubstr("the model does not fit"), HasSubstr("are available")));
  EXPECT_THAT(FailedStart({"--model", "/no/such/model"}),
              AllOf(HasSubstr("/no/such/model: no such directory; --model takes a checkpoint"),
                    Not(HasSubstr("tokenizer.json: requests"))));
  testing::TempDir directory;
  EXPECT_THAT(FailedStart({"--model", directory.path()}),
              HasSubstr(directory.path() + ": has no config.json; --model takes"));
  const std::string file = directory.Write("model.gguf", "");
  EXPECT_THAT(FailedStart({"--model", file}), HasSubstr(file + ": is a file; --model takes"));
  directory.Write("config.json", R"({"architectures": ["MambaForCausalLM"]})");
  EXPECT_THAT(FailedStart({"--model", directory.path()}),
              AllOf(HasSubstr("MambaForCausalLM"), HasSubstr("Qwen3ForCausalLM")));
}

TEST(ServerStart, AnAddressInUseIsNamed) {
  const testing::ServerProcess first({"--model", kModel});
  ASSERT_FALSE(first.address().empty());
  testing::ServerProcess second({"--model", kModel, "--listen", first.address()});
  EXPECT_TRUE(second.address().empty());
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_EQ(second.StderrText(), "quire-server: cannot listen on " + first.address() +
                                     ": the address is in use; choose another address with "
                                     "--listen\n");
}

TEST(ServerStart, AUnixSocketIsTakenOnlyWhereNobodyAnswers) {
  testing::TempDir directory;
  const std::string address = "unix:" + directory.File("socket");
  {
    const testing::ServerProcess first({"--model", kModel, "--listen", address});
    ASSERT_EQ(first.address(), address);
    EXPECT_THAT(FailedStart({"--model", kModel, "--listen", address}),
                HasSubstr("cannot listen on " + address + ": another process listens there"));
    EXPECT_TRUE(Stream(*first.Connect(), Text("A", 2)).status.ok());
  }  // killed: the socket is left over
  ASSERT_TRUE(std::filesystem::exists(directory.File("socket")));
  const testing::ServerProcess next({"--model", kModel, "--listen", address});
  EXPECT_EQ(next.address(), address);
  EXPECT_THAT(FailedStart({"--model", kModel, "--listen", "unix:" + directory.path() + "/no/s"}),
              HasSubstr(directory.path() + "/no: No such file or directory"));
  const std::string file = directory.Write("file", "");
  EXPECT_THAT(FailedStart({"--model", kModel, "--listen", "unix:" + file}),
              HasSubstr("the path exists and is no socket"));
}

TEST(ServerStart, AWrongAddressIsNamedWithWhatWasExpected) {
  EXPECT_THAT(FailedStart({"--model", kModel, "--listen", "127.0.0.1"}),
              HasSubstr("--listen: \"127.0.0.1\": there is no port; expected HOST:PORT"));
  EXPECT_THAT(FailedStart({"--model", kModel, "--listen", "192.0.2.1:0"}),
              HasSubstr("192.0.2.1:0: it is not an address of this machine"));
}

TEST(ServerStart, ACpuStaysBatchInvariantWhateverTheFlagsSay) {
  testing::TempDir directory;
  testing::ServerProcess server({"--model", kModel, "--device", "cpu", "--batch-invariance=off",
                                 "--cache-dir", directory.path()});
  ASSERT_FALSE(server.address().empty()) << server.StderrText();
  EXPECT_TRUE(testing::Info(*server.Connect()).batch_invariant());
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_THAT(server.StderrText(), Not(HasSubstr("batch invariance")));
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

TEST(ServerStart, TheEnvironmentSetsFlagsButAsksForNoHelpOrVersion) {
  setenv("QUIRE_VERSION", "1", 1);
  setenv("QUIRE_HELP", "1", 1);
  setenv("QUIRE_MAX_QUEUE", "7", 1);
  {
    const testing::ServerProcess server({"--model", kModel});
    ASSERT_FALSE(server.address().empty());
    EXPECT_EQ(testing::Info(*server.Connect()).limits().max_queue(), 7U);
  }
  for (const char* name : {"QUIRE_VERSION", "QUIRE_HELP", "QUIRE_MAX_QUEUE"}) unsetenv(name);
}

// The demo model, with NaN in place of its last norm's weights.
void WriteBrokenModel(const testing::TempDir& directory) {
  std::filesystem::copy(kModel, directory.path(), std::filesystem::copy_options::recursive);
  const std::string path = directory.File("model.safetensors");
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  uint64_t header_bytes = 0;
  file.read(reinterpret_cast<char*>(&header_bytes), sizeof header_bytes);
  std::string header(header_bytes, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header_bytes));
  const std::string key = "\"data_offsets\":[";
  const size_t tensor = header.find("\"model.norm.weight\"");
  ASSERT_NE(tensor, std::string::npos);
  const size_t offsets = header.find(key, tensor);
  ASSERT_NE(offsets, std::string::npos);
  char* next = nullptr;
  const uint64_t begin = std::strtoull(header.data() + offsets + key.size(), &next, 10);
  const uint64_t end = std::strtoull(next + 1, nullptr, 10);
  file.seekp(static_cast<std::streamoff>(sizeof header_bytes + header_bytes + begin));
  file << std::string(end - begin, '\xff');  // NaN in every format
}

TEST(ServerLog, AnInternalErrorIsLoggedWithTheRequestId) {
  testing::TempDir directory;
  WriteBrokenModel(directory);
  testing::ServerProcess server({"--model", directory.path()});
  ASSERT_FALSE(server.address().empty()) << server.StderrText();
  v1::GenerateRequest request = Text("Once", 5);
  request.set_request_id("the-broken-one");
  const testing::Streamed got = Stream(*server.Connect(), request);
  EXPECT_EQ(got.status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(server.StderrText(), HasSubstr("request \"the-broken-one\" failed: INTERNAL: " +
                                             got.status.error_message()));
}

TEST(ServerStart, RandomWeightsNeedOnlyAConfig) {
  testing::TempDir directory;
  WriteConfig(directory, /*hidden=*/64, /*layers=*/2, /*context=*/256);
  testing::ServerProcess server(
      {"--model", directory.path(), "--load-format", "random", "--kv-cache-bytes", "16MiB"});
  ASSERT_FALSE(server.address().empty()) << server.StderrText();
  const auto stub = server.Connect();
  v1::GenerateRequest request;
  for (uint32_t id : {1U, 2U, 3U}) request.mutable_token_ids()->add_ids(id);
  request.mutable_stopping()->set_max_new_tokens(10);
  request.mutable_response()->set_token_ids(true);
  EXPECT_EQ(Stream(*stub, request).token_ids[0].size(), 10U);
  request.set_text("no tokenizer");
  EXPECT_EQ(Stream(*stub, request).status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

}  // namespace
}  // namespace quire
