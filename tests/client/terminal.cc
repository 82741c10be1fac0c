#include "tests/client/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "gtest/gtest.h"

namespace quire::testing {

Terminal::Terminal(std::vector<std::string> arguments) {
  winsize size = {.ws_row = 50, .ws_col = 200, .ws_xpixel = 0, .ws_ypixel = 0};
  EXPECT_EQ(openpty(&master_, &slave_, nullptr, nullptr, &size), 0);
  fcntl(master_, F_SETFD, FD_CLOEXEC);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  setenv("TERM", "xterm", 1);
  setenv("HOME", "/nonexistent", 1);  // no settings of whoever runs the test
  pid_ = fork();
  if (pid_ == 0) {
    setsid();
    ioctl(slave_, TIOCSCTTY, 0);
    for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(slave_, fd);
    execv(pointers[0], pointers.data());
    _exit(127);
  }
}

Terminal::~Terminal() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(master_);
  close(slave_);
}

void Terminal::Type(const std::string& keys) const {
  EXPECT_EQ(write(master_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
}

// Waits for a tenth of a second at most.
bool Terminal::ReadSome() {
  pollfd file = {.fd = master_, .events = POLLIN, .revents = 0};
  if (poll(&file, 1, 100) <= 0) return false;
  std::array<char, 4096> buffer;
  const ssize_t count = read(master_, buffer.data(), buffer.size());
  if (count > 0) shown_.append(buffer.data(), static_cast<size_t>(count));
  return count > 0;
}

bool Terminal::Await(const std::string& text) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (true) {
    const size_t found = shown_.find(text, awaited_);
    if (found != std::string::npos) {
      awaited_ = found + text.size();
      return true;
    }
    if (std::chrono::steady_clock::now() > deadline) return false;
    ReadSome();
  }
}

bool Terminal::IsCooked() const {
  termios settings = {};
  return tcgetattr(slave_, &settings) == 0 && (settings.c_lflag & ICANON) != 0 &&
         (settings.c_lflag & ECHO) != 0;
}

bool Terminal::AwaitRaw() const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (IsCooked()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

int Terminal::Wait() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) return -1;
    ReadSome();
  }
  pid_ = -1;
  while (ReadSome()) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace quire::testing
