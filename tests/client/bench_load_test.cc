// The load generator against a server: who is sent when, and what is recorded.
#include <atomic>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "client/bench/load_generator.h"
#include "client/request.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/client/fake_server.h"

namespace quire::bench {
namespace {

using testing::FakeServer;

std::vector<v1::GenerateRequest> Requests(int count, uint32_t max_new_tokens) {
  return {static_cast<size_t>(count), MakeRequest("abc", {.max_new_tokens = max_new_tokens})};
}

TEST(LoadGenerator, RecordsTokensAndTimesOfEveryRequest) {
  const FakeServer server;
  const Connection one(server.address(), {.own_connection = true});
  const Connection two(server.address(), {.own_connection = true});
  const auto records = LoadGenerator({&one, &two}).Run(Requests(20, 5), {.max_concurrency = 4});
  ASSERT_EQ(records.size(), 20);
  for (const RequestRecord& record : records) {
    EXPECT_EQ(record.status, absl::OkStatus());
    EXPECT_EQ(record.input_tokens, 3);
    EXPECT_EQ(record.output_tokens, 5);
    EXPECT_EQ(record.itls_s.size(), 4);
    EXPECT_EQ(record.arrival_s, record.sent_s);
    EXPECT_GT(record.ttft_s(), 0);
    EXPECT_GE(record.end_s, record.last_token_s);
    const double gaps_s = std::accumulate(record.itls_s.begin(), record.itls_s.end(), 0.0);
    EXPECT_NEAR(gaps_s, record.last_token_s - record.first_token_s, 1e-9);
  }
}

TEST(LoadGenerator, NeverHasMoreUnderWayThanAskedForAndUsesTheRoom) {
  FakeServer server;
  server.SetStream([](auto& context, const auto& request, const auto& write) {
    absl::SleepFor(absl::Milliseconds(5));
    return FakeServer::Echo(context, request, write);
  });
  const Connection connection(server.address());
  const auto records = LoadGenerator({&connection}).Run(Requests(30, 2), {.max_concurrency = 3});
  EXPECT_EQ(records.size(), 30);
  EXPECT_EQ(server.peak_streams(), 3);
}

TEST(LoadGenerator, InTheOpenLoopLatencyCountsFromTheIntendedArrival) {
  FakeServer server;
  server.SetStream([](auto& context, const auto& request, const auto& write) {
    absl::SleepFor(absl::Milliseconds(50));
    return FakeServer::Echo(context, request, write);
  });
  const Connection connection(server.address());
  // All are due at once, one may run: the last waits on this side for the three before it.
  const auto records =
      LoadGenerator({&connection})
          .Run(Requests(4, 1), {.arrivals_s = {0, 0.001, 0.002, 0.003}, .max_concurrency = 1});
  ASSERT_EQ(records.size(), 4);
  EXPECT_EQ(records[3].arrival_s, 0.003);
  EXPECT_GE(records[3].sent_s, 0.150);
  EXPECT_GE(records[3].ttft_s(), 0.190);
}

TEST(LoadGenerator, InTheOpenLoopNoRequestWaitsForAnEarlierOne) {
  FakeServer server;
  server.SetStream(server.Hang());
  const Connection connection(server.address());
  LoadGenerator generator({&connection});
  std::thread ender([&] {
    EXPECT_TRUE(server.AwaitStreams(5));
    generator.Cancel();
  });
  const auto records = generator.Run(Requests(5, 1), {.arrivals_s = {0, 0.01, 0.02, 0.03, 0.04}});
  ender.join();
  ASSERT_EQ(records.size(), 5);
  EXPECT_GE(records[4].sent_s, 0.04);
  EXPECT_LT(records[4].sent_s, 5);
  EXPECT_EQ(server.peak_streams(), 5);
}

TEST(LoadGenerator, FailuresKeepTheirStatusAndDoNotStopTheRest) {
  FakeServer server;
  std::atomic<int> count = 0;
  server.SetStream([&count](auto& context, const auto& request, const auto& write) {
    if (count++ % 2 == 0) return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full");
    return FakeServer::Echo(context, request, write);
  });
  const Connection connection(server.address());
  const auto records = LoadGenerator({&connection}).Run(Requests(10, 2), {.max_concurrency = 1});
  ASSERT_EQ(records.size(), 10);
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].status,
              i % 2 == 0 ? absl::ResourceExhaustedError("full") : absl::OkStatus());
  }
}

TEST(LoadGenerator, ATimeoutEndsOneRequest) {
  FakeServer server;
  server.SetStream(server.Hang());
  const Connection connection(server.address());
  const auto records =
      LoadGenerator({&connection}).Run(Requests(1, 1), {.timeout = absl::Milliseconds(50)});
  ASSERT_EQ(records.size(), 1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(records[0].status)) << records[0].status;
  EXPECT_TRUE(server.AwaitCancelled(1));
}

TEST(LoadGenerator, CancelEndsWhatRunsAndSendsNoMore) {
  FakeServer server;
  server.SetStream(server.Hang());
  const Connection connection(server.address());
  LoadGenerator generator({&connection});
  std::thread other([&] {
    EXPECT_TRUE(server.AwaitStreams(2));
    generator.Cancel();
  });
  const auto records = generator.Run(Requests(10, 1), {.max_concurrency = 2});
  other.join();
  ASSERT_EQ(records.size(), 2);
  EXPECT_TRUE(absl::IsCancelled(records[0].status)) << records[0].status;
  EXPECT_TRUE(server.AwaitCancelled(2));
  EXPECT_TRUE(generator.Run(Requests(1, 1), {}).empty());
}

TEST(LoadGenerator, ProgressTellsTheEnd) {
  const FakeServer server;
  const Connection connection(server.address());
  int last_done = -1;
  int last_running = -1;
  LoadGenerator({&connection}).Run(Requests(3, 1), {.progress = [&](int done, int running) {
                                     last_done = done;
                                     last_running = running;
                                   }});
  EXPECT_EQ(last_done, 3);
  EXPECT_EQ(last_running, 0);
}

TEST(LoadGenerator, Holds256StreamsAtOnce) {
  FakeServer server;
  // Each waits until all have begun.
  server.SetStream([&server](auto& context, const auto& request, const auto& write) {
    if (!server.AwaitStreams(256)) return grpc::Status(grpc::StatusCode::ABORTED, "too few came");
    return FakeServer::Echo(context, request, write);
  });
  const Connection connection(server.address());
  const auto records = LoadGenerator({&connection}).Run(Requests(256, 4), {});
  ASSERT_EQ(records.size(), 256);
  for (const RequestRecord& record : records) {
    ASSERT_EQ(record.status, absl::OkStatus());
    ASSERT_EQ(record.output_tokens, 4);
  }
}

}  // namespace
}  // namespace quire::bench
