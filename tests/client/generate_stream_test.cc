// Streams: their order, their end, and that none outlives its reader on the server.
#include "client/generate_stream.h"

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/call_status.h"
#include "client/client.h"
#include "client/request.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/response_collector.h"
#include "tests/client/fake_server.h"

namespace quire {
namespace {

using ::testing::ElementsAre;
using testing::FakeServer;
using ::testing::HasSubstr;

TEST(GenerateStream, EventsComeInTheOrderOfTheContract) {
  const FakeServer server;
  const Client client(server.address());
  std::vector<v1::GenerateEvent::EventCase> cases;
  std::string text;
  GenerateStream stream = client.Stream(MakeRequest("abc", {.max_new_tokens = 2}));
  for (const v1::GenerateEvent& event : stream) {
    cases.push_back(event.event_case());
    text += event.delta().text();
  }
  EXPECT_EQ(stream.Finish(), absl::OkStatus());
  EXPECT_THAT(cases, ElementsAre(v1::GenerateEvent::kStarted, v1::GenerateEvent::kDelta,
                                 v1::GenerateEvent::kDelta, v1::GenerateEvent::kFinished));
  EXPECT_EQ(text, " t0 t1");
}

TEST(GenerateStream, NextIsNullAfterTheEndAndTheStatusStays) {
  const FakeServer server;
  GenerateStream stream = Client(server.address()).Stream(MakeRequest("abc"));
  while (stream.Next() != nullptr) {
  }
  EXPECT_EQ(stream.Next(), nullptr);
  EXPECT_EQ(stream.Finish(), absl::OkStatus());
  EXPECT_EQ(stream.Finish(), absl::OkStatus());
}

TEST(GenerateStream, FinishDropsWhatIsLeft) {
  const FakeServer server;
  GenerateStream stream = Client(server.address()).Stream(MakeRequest("abc"));
  ASSERT_NE(stream.Next(), nullptr);
  EXPECT_EQ(stream.Finish(), absl::OkStatus());
  EXPECT_EQ(stream.Next(), nullptr);
}

TEST(GenerateStream, DestroyingItCancelsTheRequestOnTheServer) {
  FakeServer server;
  server.SetStream(server.Hang());
  const Client client(server.address());
  {
    GenerateStream stream = client.Stream(MakeRequest("abc"));
    ASSERT_NE(stream.Next(), nullptr);
  }
  EXPECT_TRUE(server.AwaitCancelled(1));
}

TEST(GenerateStream, DestroyingItBeforeTheFirstEventCancelsToo) {
  FakeServer server;
  server.SetStream(server.Hang());
  const Client client(server.address());
  {
    const GenerateStream stream = client.Stream(MakeRequest("abc"));
    ASSERT_TRUE(server.AwaitStreams(1));
  }
  EXPECT_TRUE(server.AwaitCancelled(1));
}

TEST(GenerateStream, CancelFromAnotherThreadEndsTheWaitForTheNextEvent) {
  FakeServer server;
  server.SetStream(server.Hang());
  GenerateStream stream = Client(server.address()).Stream(MakeRequest("abc"));
  ASSERT_TRUE(server.AwaitStreams(1));
  std::thread other([&] { stream.Cancel(); });
  EXPECT_TRUE(absl::IsCancelled(stream.Finish()));
  other.join();
  EXPECT_TRUE(server.AwaitCancelled(1));
}

TEST(GenerateStream, AMovedStreamIsTheSameCall) {
  FakeServer server;
  server.SetStream(server.Hang());
  std::optional<GenerateStream> moved;
  {
    GenerateStream stream = Client(server.address()).Stream(MakeRequest("abc"));
    moved.emplace(std::move(stream));
  }
  const v1::GenerateEvent* event = moved->Next();
  ASSERT_NE(event, nullptr);
  EXPECT_TRUE(event->has_started());
  moved.reset();
  EXPECT_TRUE(server.AwaitCancelled(1));
}

TEST(GenerateStream, AFailureAfterAcceptanceIsAnEventAndTheSameStatus) {
  FakeServer server;
  server.SetStream([](auto&, const auto&, const auto& write) {
    write(testing::Started("id", 1, 2));
    v1::GenerateEvent failed;
    failed.mutable_failed()->set_code(grpc::StatusCode::RESOURCE_EXHAUSTED);
    failed.mutable_failed()->set_message("the reader stalls");
    write(failed);
    return testing::WithRetryInfo(grpc::StatusCode::RESOURCE_EXHAUSTED, "the reader stalls", 1);
  });
  GenerateStream stream = Client(server.address()).Stream(MakeRequest("abc"));
  std::string told;
  for (const v1::GenerateEvent& event : stream) told += event.failed().message();
  EXPECT_EQ(told, "the reader stalls");
  const absl::Status status = stream.Finish();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(RetryDelay(status), absl::Seconds(1));
}

TEST(GenerateStream, ARequestIdThatIsLiveIsAlreadyExists) {
  FakeServer server;
  server.SetStream([](auto&, const auto& request, const auto&) {
    return grpc::Status(grpc::StatusCode::ALREADY_EXISTS, request.request_id() + " is live");
  });
  GenerateStream stream =
      Client(server.address()).Stream(MakeRequest("abc", {.request_id = "one"}));
  EXPECT_EQ(stream.Next(), nullptr);
  EXPECT_EQ(stream.Finish(), absl::AlreadyExistsError("one is live"));
}

TEST(GenerateStream, ADeadlineEndsItHereAndOnTheServer) {
  FakeServer server;
  server.SetStream(server.Hang());
  GenerateStream stream =
      Client(server.address()).Stream(MakeRequest("abc"), {.timeout = absl::Milliseconds(100)});
  EXPECT_TRUE(absl::IsDeadlineExceeded(stream.Finish()));
  EXPECT_TRUE(server.AwaitCancelled(1));
}

TEST(GenerateStream, AServerThatIsNotThereGivesNoEventAndIsNamed) {
  const std::string address = FakeServer().address();
  GenerateStream stream = Client(address).Stream(MakeRequest("abc"));
  EXPECT_EQ(stream.Next(), nullptr);
  const absl::Status status = stream.Finish();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot connect to " + address));
}

TEST(ResponseCollector, AStreamJoinsIntoWhatGenerateReturns) {
  const FakeServer server;
  const Client client(server.address());
  const v1::GenerateRequest request =
      MakeRequest("abc", {.num_sequences = 3, .max_new_tokens = 4, .echo_prompt = true});
  ResponseCollector collector;
  GenerateStream stream = client.Stream(request);
  for (const v1::GenerateEvent& event : stream) collector.Add(event);
  const auto whole = client.Generate(request);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(collector.response().DebugString(), whole->DebugString());
  EXPECT_EQ(collector.response().sequences_size(), 3);
  EXPECT_EQ(collector.response().usage().completion_tokens(), 12);
  EXPECT_EQ(collector.response().usage().prompt_tokens(), 3);
}

TEST(ResponseCollector, PiecesOfThePromptJoin) {
  ResponseCollector collector;
  for (const char* piece : {"Once ", "upon ", "a time"}) {
    v1::GenerateEvent event;
    event.mutable_prompt()->set_text(piece);
    event.mutable_prompt()->add_token_ids(1);
    event.mutable_prompt()->add_logprobs()->set_logprob(-1);
    collector.Add(event);
  }
  EXPECT_EQ(collector.response().prompt().text(), "Once upon a time");
  EXPECT_EQ(collector.response().prompt().token_ids_size(), 3);
  EXPECT_EQ(collector.response().prompt().logprobs_size(), 3);
}

}  // namespace
}  // namespace quire
