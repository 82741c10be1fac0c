// Runs a program as a shell would.
#ifndef QUIRE_TESTS_CLIENT_COMMAND_H_
#define QUIRE_TESTS_CLIENT_COMMAND_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace quire::testing {

struct CommandResult {
  int exit_code = 0;  // 128 + signal where one ended it
  std::string out;
  std::string err;
};

struct CommandOptions {
  std::string input;                     // on standard input; empty is /dev/null
  std::vector<std::string> environment;  // "NAME=value", beside the test's own
};

class Command {
 public:
  Command(std::vector<std::string> arguments, const CommandOptions& options);
  ~Command();  // after Wait
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  void Signal(int signal) const;
  // Reads standard output until it holds `text`; false at its end.
  bool AwaitOutput(const std::string& text);
  CommandResult Wait();

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;
  CommandResult result_;
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_CLIENT_COMMAND_H_
