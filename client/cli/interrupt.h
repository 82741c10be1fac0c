// Ctrl-C: the first asks a command to end, the second ends the process at once.
#ifndef QUIRE_CLIENT_CLI_INTERRUPT_H_
#define QUIRE_CLIENT_CLI_INTERRUPT_H_

#include <signal.h>

#include <functional>
#include <mutex>

namespace quire::cli {

// Takes SIGINT and SIGTERM. Made before any other thread, so that they all leave the signals to
// this one's own; lives as long as the process. Thread-safe.
class Interrupt {
 public:
  Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // While a Scope lives, the first signal calls `cancel`, from another thread. A signal without a
  // Scope, or after the first, ends the process with the shell's status, 128 + signal.
  class Scope {
   public:
    Scope(Interrupt& interrupt, std::function<void()> cancel);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Interrupt& interrupt_;
  };

  // 128 + the signal that came; 0 if none has.
  int exit_code() const;
  // The same, and as if none had come from now on: the next Scope hears of the next signal.
  int TakeExitCode();

 private:
  [[noreturn]] void Listen();

  sigset_t signals_;
  mutable std::mutex mutex_;
  std::function<void()> cancel_;  // guarded by mutex_
  int exit_code_ = 0;             // guarded by mutex_
};

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_INTERRUPT_H_
