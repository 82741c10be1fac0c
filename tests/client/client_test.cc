// The unary calls, and how a failed call is told.
#include "client/client.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "client/call_status.h"
#include "client/request.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace quire {
namespace {

using ::testing::ElementsAre;
using testing::FakeServer;
using ::testing::HasSubstr;
using ::testing::Not;

// A port where nobody listens: it was free a moment ago.
std::string FreeAddress() { return FakeServer().address(); }

TEST(Client, GenerateReturnsTheWholeResult) {
  const FakeServer server;
  const Client client(server.address());
  const auto response = client.Generate(MakeRequest("abc", {.max_new_tokens = 2, .seed = 7}));
  ASSERT_TRUE(response.ok()) << response.status();
  ASSERT_EQ(response->sequences_size(), 1);
  EXPECT_EQ(response->sequences(0).text(), " t0 t1");
  EXPECT_THAT(response->sequences(0).token_ids(), ElementsAre(100, 101));
  EXPECT_EQ(response->seed(), 7);
  EXPECT_EQ(response->usage().prompt_tokens(), 3);
}

TEST(Client, DetokenizeUndoesTokenize) {
  const FakeServer server;
  const Client client(server.address());
  v1::TokenizeRequest tokenize;
  tokenize.set_text("hi");
  tokenize.set_add_special_tokens(false);
  const auto tokens = client.Tokenize(tokenize);
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_THAT(tokens->token_ids(), ElementsAre('h', 'i'));
  v1::DetokenizeRequest detokenize;
  *detokenize.mutable_token_ids() = tokens->token_ids();
  const auto text = client.Detokenize(detokenize);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->text(), "hi");
}

TEST(Client, TheOtherCallsReturnWhatTheServerAnswers) {
  const FakeServer server;
  const Client client(server.address());
  const auto cost = client.EstimateCost(MakeRequest("abc"));
  ASSERT_TRUE(cost.ok()) << cost.status();
  EXPECT_EQ(cost->kv_blocks(), 2);
  v1::AbortRequest abort;
  abort.set_request_id("live");
  const auto aborted = client.Abort(abort);
  ASSERT_TRUE(aborted.ok()) << aborted.status();
  EXPECT_TRUE(aborted->aborted());
  const auto model = client.GetModelInfo();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->vocab_size(), 256);
  const auto info = client.GetServerInfo();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->version(), "9.9");
}

TEST(Client, UnixSocketsWorkLikePorts) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/quire-", getpid(), ".sock");
  const FakeServer server("unix:" + path);
  const Client client("unix:" + path);
  EXPECT_TRUE(client.GetModelInfo().ok());
}

TEST(Client, ARefusalKeepsItsCodeMessageAndRetryDelay) {
  FakeServer server;
  server.SetStream([](auto&, const auto&, const auto&) {
    return testing::WithRetryInfo(grpc::StatusCode::RESOURCE_EXHAUSTED, "the queue is full", 3);
  });
  const Client client(server.address());
  const absl::Status status = client.Generate(MakeRequest("abc")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "the queue is full");
  EXPECT_EQ(RetryDelay(status), absl::Seconds(3));
}

TEST(Client, WithoutRetryInfoThereIsNoRetryDelay) {
  EXPECT_EQ(RetryDelay(FromGrpcStatus(grpc::Status(grpc::StatusCode::UNAVAILABLE, "later"))),
            std::nullopt);
  EXPECT_EQ(RetryDelay(absl::OkStatus()), std::nullopt);
}

TEST(Client, AServerThatIsNotThereIsUnavailableAndNamed) {
  const std::string address = FreeAddress();
  const Client client(address);
  const absl::Status status = client.GetModelInfo().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("cannot connect to " + address + ": is quire-server running there?"));
  EXPECT_TRUE(absl::IsUnavailable(client.connection().Await(absl::Milliseconds(20))));
}

TEST(Client, AServerThatSaysUnavailableItselfIsNotTakenForAMissingOne) {
  FakeServer server;
  server.SetStream([](auto&, const auto&, const auto&) {
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server is draining");
  });
  const Client client(server.address());
  const absl::Status status = client.Generate(MakeRequest("abc")).status();
  EXPECT_EQ(status, absl::UnavailableError("the server is draining"));
}

TEST(Client, AStringThatIsNotUtf8IsNamedAndNotSent) {
  const FakeServer server;
  const Client client(server.address());
  v1::GenerateRequest request = MakeRequest("abc", {.stop_strings = {"x", "a\xff"}});
  const auto message = "stopping.stop_strings[1] is not UTF-8: the byte at offset 1 is 0xff";
  EXPECT_EQ(client.Generate(request).status(), absl::InvalidArgumentError(message));
  GenerateStream stream = client.Stream(request);
  stream.Cancel();
  EXPECT_EQ(stream.Next(), nullptr);
  EXPECT_EQ(stream.Finish(), absl::InvalidArgumentError(message));
  v1::TokenizeRequest tokenize;
  tokenize.mutable_chat()->add_messages()->set_content("\xc3");
  EXPECT_EQ(client.Tokenize(tokenize).status(),
            absl::InvalidArgumentError(
                "chat.messages[0].content is not UTF-8: the byte at offset 0 is 0xc3"));
  EXPECT_TRUE(server.requests().empty());
}

TEST(Client, ADeadlineEndsTheCallHereAndOnTheServer) {
  FakeServer server;
  server.SetStream(server.Hang());
  const Client client(server.address());
  const absl::Status status =
      client.Generate(MakeRequest("abc"), {.timeout = absl::Milliseconds(100)}).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("cannot connect")));
  EXPECT_TRUE(server.AwaitCancelled(1));
}

TEST(Client, AMessageAboveTheDefaultLimitOfGrpcComesThrough) {
  FakeServer server;
  const std::string long_text(8 << 20, 'x');
  server.SetStream([&](auto&, const auto&, const auto& write) {
    write(testing::Delta(0, long_text, {1}));
    return grpc::Status::OK;
  });
  const Client client(server.address());
  const auto response = client.Generate(MakeRequest("abc"));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->sequences(0).text().size(), long_text.size());
}

TEST(Client, HealthIsOkOnlyWhileTheServerServes) {
  FakeServer server;
  const Client client(server.address());
  EXPECT_EQ(client.CheckHealth(), absl::OkStatus());
  server.SetServing(false);
  const absl::Status status = client.CheckHealth();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(server.address() + " is NOT_SERVING"));
  EXPECT_TRUE(absl::IsNotFound(client.CheckHealth("no.such.Service")));
}

}  // namespace
}  // namespace quire
