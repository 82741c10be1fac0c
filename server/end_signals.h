// SIGINT and SIGTERM. Before the server serves they end the process at once; then the first asks it
// to drain and the second ends it at once.
#ifndef QUIRE_SERVER_END_SIGNALS_H_
#define QUIRE_SERVER_END_SIGNALS_H_

#include <signal.h>

#include <condition_variable>
#include <mutex>

namespace quire {

// One per process, made before any other thread: the signals are blocked in the thread that makes
// it and in all that come from it, and a thread of its own waits for them.
class EndSignals {
 public:
  EndSignals();
  EndSignals(const EndSignals&) = delete;
  EndSignals& operator=(const EndSignals&) = delete;

  // From now on a signal asks instead of ending.
  void StartServing();
  // Waits for the first signal after StartServing.
  void Await();

 private:
  [[noreturn]] void Listen();

  sigset_t signals_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool serving_ = false;  // guarded by mutex_
  bool asked_ = false;    // guarded by mutex_
};

}  // namespace quire

#endif  // QUIRE_SERVER_END_SIGNALS_H_
