// A device that is lost under load: every client hears of it, and the process ends.
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/e2e_client.h"
#include "tests/testing/server_process.h"

namespace quire {
namespace {

using testing::kModel;
using testing::Text;

TEST(DeviceFailure, FailsEveryLiveRequestAndEndsTheProcessWithSeventy) {
  // One sequence runs, the others wait in the queue.
  testing::ServerProcess server({"--model", kModel, "--max-num-sequences", "1"},
                                "tests/server/quire-server-with-failing-device");
  ASSERT_NE(server.address(), "") << server.StderrText();
  const auto stub = server.Connect();
  std::vector<std::thread> clients;
  std::vector<grpc::Status> statuses(3);
  std::vector<int> finished(3), tokens(3);
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&, i] {
      v1::GenerateRequest request = Text("Once upon a time", 400);
      request.mutable_stopping()->set_ignore_eos(true);
      grpc::ClientContext context;
      const auto reader = stub->GenerateStream(&context, request);
      v1::GenerateEvent event;
      while (reader->Read(&event)) {
        if (event.has_finished()) ++finished[i];
        if (event.has_delta()) ++tokens[i];
      }
      statuses[i] = reader->Finish();
    });
  }
  for (std::thread& client : clients) client.join();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(statuses[i].error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(statuses[i].error_message(),
                ::testing::HasSubstr("the server has lost its device: the device of this test"));
  }
  EXPECT_GT(tokens[0] + tokens[1] + tokens[2], 0);
  EXPECT_EQ(server.Wait(), 70);
  EXPECT_THAT(server.StderrText(), ::testing::HasSubstr("the device of this test is lost\n"));
}

}  // namespace
}  // namespace quire
