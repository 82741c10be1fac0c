// The real server binary as a child process, for end-to-end tests.
#ifndef QUIRE_TESTS_TESTING_SERVER_PROCESS_H_
#define QUIRE_TESTS_TESTING_SERVER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "quire/v1/generation.grpc.pb.h"

namespace quire::testing {

// Killed with its owner.
class ServerProcess {
 public:
  // Starts quire-server (or another binary of the build) with `args` (and --listen 127.0.0.1:0, if
  // they don't say where), and waits for its ready line or its end.
  explicit ServerProcess(std::vector<std::string> args,
                         const std::string& binary = "server/quire-server");
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;
  ~ServerProcess();

  // HOST:PORT of the ready line; empty if the process ended without one.
  const std::string& address() const { return address_; }
  pid_t pid() const { return pid_; }

  // A stub on a connection of its own.
  std::unique_ptr<v1::GenerationService::Stub> Connect() const;

  void Signal(int signal) const;
  // Waits for the end: the exit code, or 128 + the signal that ended it.
  int Wait();
  // Everything it has written to stderr; complete after Wait.
  std::string StderrText() const;

 private:
  pid_t pid_ = -1;
  int stdout_fd_ = -1;
  std::string stderr_path_;
  std::string address_;
  int exit_code_ = -1;
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_SERVER_PROCESS_H_
