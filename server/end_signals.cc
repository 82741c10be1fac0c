#include "server/end_signals.h"

#include <pthread.h>

#include <cstdlib>
#include <thread>

namespace quire {

EndSignals::EndSignals() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  signal(SIGPIPE, SIG_IGN);
  std::thread([this] { Listen(); }).detach();  // lives as long as the process, as this object does
}

void EndSignals::Listen() {
  while (true) {
    int got = 0;
    sigwait(&signals_, &got);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!serving_ || asked_) std::_Exit(128 + got);
    asked_ = true;
    changed_.notify_all();
  }
}

void EndSignals::StartServing() {
  const std::lock_guard<std::mutex> lock(mutex_);
  serving_ = true;
}

void EndSignals::Await() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return asked_; });
}

}  // namespace quire
