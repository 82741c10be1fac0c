#include "core/device_failure.h"

#include <cstdio>
#include <thread>

#include "gtest/gtest.h"

namespace quire {
namespace {

TEST(DeviceFailureDeathTest, EndsTheProcessWithOneLineAndItsCode) {
  EXPECT_EXIT(EndAfterDeviceFailure("the device is lost"), ::testing::ExitedWithCode(70),
              "^the device is lost\n$");
}

TEST(DeviceFailureDeathTest, TellsTheHandlerOnceBeforeTheEnd) {
  EXPECT_EXIT(
      {
        SetDeviceFailureHandler([](const std::string& line) {
          std::fprintf(stderr, "handled: %s\n", line.c_str());
          EndAfterDeviceFailure("second");  // as the handler's own clean-up may
        });
        EndAfterDeviceFailure("first");
      },
      ::testing::ExitedWithCode(70), "^first\nhandled: first\n$");
}

TEST(DeviceFailureDeathTest, ThreadsThatMeetItTooWaitForTheEnd) {
  EXPECT_EXIT(
      {
        SetDeviceFailureHandler([](const std::string&) {
          std::thread second([] { EndAfterDeviceFailure("second"); });
          std::this_thread::sleep_for(std::chrono::milliseconds(50));
          second.detach();
        });
        EndAfterDeviceFailure("first");
      },
      ::testing::ExitedWithCode(70), "^first\n$");
}

}  // namespace
}  // namespace quire
