#include "tests/testing/server_process.h"

#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace quire::testing {
namespace {

const char kReady[] = "quire-server ready on ";

}  // namespace

ServerProcess::ServerProcess(std::vector<std::string> args, const std::string& binary) {
  args.insert(args.begin(), QUIRE_BINARY_DIR "/" + binary);
  if (std::find(args.begin(), args.end(), "--listen") == args.end()) {
    args.insert(args.end(), {"--listen", "127.0.0.1:0"});
  }
  char path[] = "/tmp/quire_server_stderr_XXXXXX";
  const int stderr_fd = mkstemp(path);
  stderr_path_ = path;
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) std::abort();
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  pid_ = fork();
  if (pid_ == 0) {
    dup2(out[1], STDOUT_FILENO);
    dup2(stderr_fd, STDERR_FILENO);
    execv(argv[0], argv.data());
    std::_Exit(127);
  }
  close(stderr_fd);
  close(out[1]);
  stdout_fd_ = out[0];
  std::string line;
  char c = 0;
  while (read(stdout_fd_, &c, 1) == 1) {
    if (c != '\n') {
      line += c;
    } else if (line.rfind(kReady, 0) == 0) {
      address_ = line.substr(sizeof(kReady) - 1);
      return;
    } else {
      line.clear();
    }
  }
}

ServerProcess::~ServerProcess() {
  if (exit_code_ < 0) {
    Signal(SIGKILL);
    Wait();
  }
  close(stdout_fd_);
  unlink(stderr_path_.c_str());
}

std::unique_ptr<v1::GenerationService::Stub> ServerProcess::Connect() const {
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  args.SetMaxReceiveMessageSize(64 << 20);
  return v1::GenerationService::NewStub(
      grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), args));
}

void ServerProcess::Signal(int signal) const { kill(pid_, signal); }

int ServerProcess::Wait() {
  if (exit_code_ >= 0) return exit_code_;
  int status = 0;
  waitpid(pid_, &status, 0);
  exit_code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_code_;
}

std::string ServerProcess::StderrText() const {
  std::ostringstream text;
  text << std::ifstream(stderr_path_).rdbuf();
  return text.str();
}

}  // namespace quire::testing
