#include "tests/client/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "gtest/gtest.h"

namespace quire::testing {
namespace {

struct Pipe {
  std::array<int, 2> ends = {-1, -1};  // read, write

  // Closed on exec, so that the program gets only its own end.
  Pipe() { EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0); }
};

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// False at the end of the file.
bool ReadSome(int fd, std::string& text) {
  std::array<char, 4096> buffer;
  const ssize_t count = read(fd, buffer.data(), buffer.size());
  if (count > 0) text.append(buffer.data(), static_cast<size_t>(count));
  return count > 0;
}

}  // namespace

Command::Command(std::vector<std::string> arguments, const CommandOptions& options) {
  Pipe in;
  Pipe out;
  Pipe err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (options.input.empty()) {
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  } else {
    posix_spawn_file_actions_adddup2(&actions, in.ends[0], STDIN_FILENO);
  }
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  environment.insert(environment.end(), options.environment.begin(), options.environment.end());
  EXPECT_EQ(posix_spawn(&pid_, arguments.front().c_str(), &actions, nullptr,
                        Pointers(arguments).data(), Pointers(environment).data()),
            0)
      << arguments.front();
  posix_spawn_file_actions_destroy(&actions);
  // Short enough for the pipe's buffer.
  EXPECT_EQ(write(in.ends[1], options.input.data(), options.input.size()),
            static_cast<ssize_t>(options.input.size()));
  for (int fd : {in.ends[0], in.ends[1], out.ends[1], err.ends[1]}) close(fd);
  out_ = out.ends[0];
  err_ = err.ends[0];
}

Command::~Command() {
  close(out_);
  close(err_);
}

void Command::Signal(int signal) const { kill(pid_, signal); }

bool Command::AwaitOutput(const std::string& text) {
  while (result_.out.find(text) == std::string::npos) {
    if (!ReadSome(out_, result_.out)) return false;
  }
  return true;
}

CommandResult Command::Wait() {
  std::array<pollfd, 2> files = {pollfd{out_, POLLIN, 0}, pollfd{err_, POLLIN, 0}};
  std::array<std::string*, 2> texts = {&result_.out, &result_.err};
  int open = 2;
  while (open > 0 && poll(files.data(), files.size(), -1) > 0) {
    for (size_t i = 0; i < files.size(); ++i) {
      if (files[i].revents == 0 || ReadSome(files[i].fd, *texts[i])) continue;
      files[i].fd = -1;  // which poll skips
      --open;
    }
  }
  int status = 0;
  waitpid(pid_, &status, 0);
  result_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result_;
}

}  // namespace quire::testing
