// What Ctrl-C does. Each case runs in a process of its own.
#include "client/cli/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "gtest/gtest.h"

namespace quire::cli {
namespace {

using ::testing::ExitedWithCode;

class InterruptTest : public ::testing::Test {
 protected:
  // Threads do not survive a plain fork.
  InterruptTest() { ::testing::GTEST_FLAG(death_test_style) = "threadsafe"; }
};

void SleepFor(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

void AwaitInterrupt(const Interrupt& interrupt) {
  while (interrupt.exit_code() == 0) SleepFor(1);
}

TEST_F(InterruptTest, WithoutAScopeASignalEndsTheProcess) {
  EXPECT_EXIT(
      {
        new Interrupt;
        kill(getpid(), SIGINT);
        SleepFor(60'000);
      },
      ExitedWithCode(130), "");
}

TEST_F(InterruptTest, TheFirstAsksAndTheSecondEndsTheProcess) {
  EXPECT_EXIT(
      {
        auto& interrupt = *new Interrupt;
        const Interrupt::Scope scope(interrupt, [] {});
        kill(getpid(), SIGTERM);
        AwaitInterrupt(interrupt);
        kill(getpid(), SIGINT);
        SleepFor(60'000);
      },
      ExitedWithCode(130), "");
}

TEST_F(InterruptTest, TheFirstLetsTheCommandEndByItself) {
  EXPECT_EXIT(
      {
        auto& interrupt = *new Interrupt;
        bool asked = false;
        {
          const Interrupt::Scope scope(interrupt, [&asked] { asked = true; });
          kill(getpid(), SIGTERM);
          AwaitInterrupt(interrupt);
        }
        _exit(asked && interrupt.exit_code() == 143 ? 7 : 1);
      },
      ExitedWithCode(7), "");
}

TEST_F(InterruptTest, ASignalThatTheParentHadIgnoredStaysIgnored) {
  EXPECT_EXIT(
      {
        signal(SIGINT, SIG_IGN);
        new Interrupt;
        kill(getpid(), SIGINT);
        SleepFor(50);
        _exit(7);
      },
      ExitedWithCode(7), "");
}

}  // namespace
}  // namespace quire::cli
