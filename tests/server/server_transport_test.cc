// What clients do to the transport: strings that are no UTF-8, readers that read no more, settings.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/limits.h"
#include "tests/server/e2e_client.h"
#include "tests/testing/server_process.h"

namespace quire {
namespace {

using ::testing::HasSubstr;
using testing::Info;
using testing::kModel;
using ::testing::Not;
using testing::RawCall;
using testing::Stream;
using testing::Text;

class Transport : public ::testing::Test {
 protected:
  testing::ServerProcess server_{{"--model", kModel, "--stall-seconds", "1"}};
  std::unique_ptr<v1::GenerationService::Stub> stub_ = server_.Connect();
};

TEST_F(Transport, AStringThatIsNotUtf8IsNamedAndNothingIsWritten) {
  const std::string service = "/quire.v1.GenerationService/";
  const std::string text =
      "\x12\x03"
      "ab\xff";  // GenerateRequest.text
  const std::string stop =
      "\x32\x05\x1a\x03"
      "a\xc3(";                                 // .stopping.stop_strings
  const std::string name = "\x0a\x02\xed\xa0";  // AbortRequest.request_id
  for (const char* method : {"Generate", "GenerateStream", "EstimateCost"}) {
    const grpc::Status status = RawCall(server_.address(), service + method, text);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << method;
    EXPECT_EQ(status.error_message(), "text is not UTF-8: the byte at offset 2 is 0xff");
  }
  EXPECT_EQ(RawCall(server_.address(), service + "Generate", stop).error_message(),
            "stopping.stop_strings is not UTF-8: the byte at offset 1 is 0xc3");
  EXPECT_EQ(RawCall(server_.address(), service + "Abort", name).error_message(),
            "request_id is not UTF-8: the byte at offset 0 is 0xed");
  EXPECT_EQ(RawCall(server_.address(), service + "Tokenize", "\x0a\x01\x80").error_message(),
            "text is not UTF-8: the byte at offset 0 is 0x80");
  const grpc::Status cut = RawCall(server_.address(), service + "Generate",
                                   "\x12\x09"
                                   "abc");
  EXPECT_EQ(cut.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(cut.error_message(), "the request's 5 bytes are no quire.v1.GenerateRequest");
  // Reflection parses on its own.
  RawCall(server_.address(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
          "\x1a\x01\xff");
  EXPECT_THAT(server_.StderrText(), Not(HasSubstr("libprotobuf")));
}

TEST_F(Transport, ReflectionTellsTheServices) {
  std::string answer;
  const grpc::Status status =
      RawCall(server_.address(), "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
              std::string("\x3a\x00", 2), &answer);  // list_services
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(answer, HasSubstr("quire.v1.GenerationService"));
  EXPECT_THAT(answer, HasSubstr("grpc.health.v1.Health"));
}

// The value of a setting in the server's first HTTP/2 frame.
std::optional<uint32_t> Http2Setting(const std::string& address, uint16_t wanted) {
  sockaddr_in where = {};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  where.sin_port =
      htons(static_cast<uint16_t>(std::atoi(address.substr(address.rfind(':') + 1).c_str())));
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&where), sizeof where), 0);
  const std::string hello("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
  EXPECT_EQ(write(fd, hello.data(), hello.size()), static_cast<ssize_t>(hello.size()));
  unsigned char header[9] = {};
  EXPECT_EQ(recv(fd, header, sizeof header, MSG_WAITALL), 9);
  EXPECT_EQ(header[3], 4);  // SETTINGS
  std::string body(header[1] << 8U | header[2], '\0');
  EXPECT_EQ(recv(fd, body.data(), body.size(), MSG_WAITALL), static_cast<ssize_t>(body.size()));
  close(fd);
  const auto byte = [&](size_t i) -> uint32_t { return static_cast<unsigned char>(body[i]); };
  for (size_t at = 0; at + 6 <= body.size(); at += 6) {
    if ((byte(at) << 8U | byte(at + 1)) != wanted) continue;
    return byte(at + 2) << 24U | byte(at + 3) << 16U | byte(at + 4) << 8U | byte(at + 5);
  }
  return std::nullopt;
}

TEST_F(Transport, AConnectionTakesSoManyCallsAtATimeAndTheLimitsTellIt) {
  constexpr uint16_t kMaxConcurrentStreams = 3;
  EXPECT_EQ(Http2Setting(server_.address(), kMaxConcurrentStreams), kMaxStreamsPerConnection);
  const v1::LimitInfo limits = Info(*stub_).limits();
  EXPECT_EQ(limits.max_streams_per_connection(), static_cast<uint32_t>(kMaxStreamsPerConnection));
  EXPECT_EQ(limits.max_name_bytes(), 256U);
  EXPECT_EQ(limits.max_detokenize_ids(), 1U << 20U);
  EXPECT_EQ(limits.max_temperature(), 100.0F);
  EXPECT_EQ(limits.max_penalty(), 100.0F);
  EXPECT_EQ(limits.max_bias(), 1000.0F);
}

// A client that takes no more than its first flow-control window.
std::unique_ptr<v1::GenerationService::Stub> SlowStub(const std::string& address) {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 1024);
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return v1::GenerationService::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), args));
}

// Whether the id of `request`, which is live, can be used again soon.
bool IdBecomesFree(v1::GenerationService::Stub& stub, const std::string& request_id) {
  v1::GenerateRequest again = Text("A", 1);
  again.set_request_id(request_id);
  EXPECT_EQ(Stream(stub, again).status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::chrono::steady_clock::now() < limit) {
    if (Stream(stub, again).status.ok()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return false;
}

// Many tokens' log-probabilities in few events.
v1::GenerateRequest ScoredPrompt() {
  v1::GenerateRequest request;
  for (uint32_t i = 0; i < 1500; ++i) request.mutable_token_ids()->add_ids(i);
  request.mutable_stopping()->set_max_new_tokens(1);
  request.mutable_response()->set_prompt_logprobs(true);
  request.mutable_response()->set_top_logprobs(20);
  return request;
}

// Reads one event of the request, then nothing more.
void ExpectToLoseItsId(const std::string& address, v1::GenerationService::Stub& other,
                       v1::GenerateRequest request) {
  const auto slow = SlowStub(address);
  request.set_request_id("stuck");
  grpc::ClientContext context;
  const auto reader = slow->GenerateStream(&context, request);
  v1::GenerateEvent event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_TRUE(IdBecomesFree(other, "stuck"));
  context.TryCancel();
  reader->Finish();
}

TEST_F(Transport, AReaderThatNeverResumesLosesItsCallAndItsId) {
  v1::GenerateRequest request = Text("Once", 2000);
  request.mutable_stopping()->set_ignore_eos(true);
  request.mutable_response()->set_top_logprobs(20);  // big messages
  ExpectToLoseItsId(server_.address(), *stub_, request);
}

TEST_F(Transport, AReaderStalledByOneEventLosesItsCallToo) {
  ExpectToLoseItsId(server_.address(), *stub_, ScoredPrompt());
}

TEST_F(Transport, AReaderThatResumesInTimeGetsEverything) {
  const auto slow = SlowStub(server_.address());
  grpc::ClientContext context;
  const auto reader = slow->GenerateStream(&context, ScoredPrompt());
  int logprobs = 0;
  v1::GenerateEvent event;
  while (reader->Read(&event)) {
    logprobs += event.prompt().logprobs_size();
    EXPECT_LT(event.ByteSizeLong(), 300U << 10U);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(logprobs, 1499);
}

}  // namespace
}  // namespace quire
