#include "client/cli/interrupt.h"

#include <cstdlib>
#include <thread>
#include <utility>

namespace quire::cli {
namespace {

// Ignored by whoever started us, as nohup and background jobs of scripts do: so it stays.
bool IsIgnored(int signal) {
  struct sigaction action = {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

Interrupt::Interrupt() {
  sigemptyset(&signals_);
  for (int signal : {SIGINT, SIGTERM}) {
    if (!IsIgnored(signal)) sigaddset(&signals_, signal);
  }
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  std::thread([this] { Listen(); }).detach();
}

void Interrupt::Listen() {
  while (true) {
    int signal = 0;
    if (sigwait(&signals_, &signal) != 0) continue;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!cancel_ || exit_code_ != 0) std::_Exit(128 + signal);
    exit_code_ = 128 + signal;
    cancel_();
  }
}

int Interrupt::exit_code() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return exit_code_;
}

int Interrupt::TakeExitCode() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(exit_code_, 0);
}

Interrupt::Scope::Scope(Interrupt& interrupt, std::function<void()> cancel)
    : interrupt_(interrupt) {
  const std::lock_guard<std::mutex> lock(interrupt_.mutex_);
  interrupt_.cancel_ = std::move(cancel);
}

Interrupt::Scope::~Scope() {
  const std::lock_guard<std::mutex> lock(interrupt_.mutex_);
  interrupt_.cancel_ = nullptr;
}

}  // namespace quire::cli
