// Runs the built quire against a FakeServer.
#ifndef QUIRE_TESTS_CLIENT_CLI_FIXTURE_H_
#define QUIRE_TESTS_CLIENT_CLI_FIXTURE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/client/command.h"
#include "tests/client/fake_server.h"

namespace quire::testing {

inline constexpr char kQuire[] = QUIRE_BINARY_DIR "/client/quire";

inline CommandResult RunQuire(std::vector<std::string> arguments,
                              const CommandOptions& options = {}) {
  arguments.insert(arguments.begin(), kQuire);
  return Command(std::move(arguments), options).Wait();
}

class CliTest : public ::testing::Test {
 protected:
  // quire COMMAND --server <the fake> ARGUMENTS...
  std::unique_ptr<Command> Start(const std::string& command, std::vector<std::string> arguments,
                                 const CommandOptions& options = {}) {
    arguments.insert(arguments.begin(), {kQuire, command, "--server", server_.address()});
    return std::make_unique<Command>(std::move(arguments), options);
  }

  CommandResult Quire(const std::string& command, std::vector<std::string> arguments,
                      const CommandOptions& options = {}) {
    return Start(command, std::move(arguments), options)->Wait();
  }

  FakeServer server_;
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_CLIENT_CLI_FIXTURE_H_
