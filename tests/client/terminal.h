// Runs a program in a terminal of its own, as a user sits before it.
#ifndef QUIRE_TESTS_CLIENT_TERMINAL_H_
#define QUIRE_TESTS_CLIENT_TERMINAL_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace quire::testing {

class Terminal {
 public:
  explicit Terminal(std::vector<std::string> arguments);
  ~Terminal();  // ends the program, if it still runs
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // As if typed; "\r" is the enter key, "\x03" Ctrl-C, "\x04" Ctrl-D.
  void Type(const std::string& keys) const;
  // Reads what is shown until it holds `text`, from where the last Await ended; false at the end of
  // the program, or after ten seconds.
  bool Await(const std::string& text);
  // What has been shown so far.
  const std::string& shown() const { return shown_; }
  // Whether the terminal echoes and takes whole lines, as before the program.
  bool IsCooked() const;
  // Waits until the program takes single keys: before, Ctrl-D is the terminal's, and lost when it
  // changes hands. False after ten seconds.
  bool AwaitRaw() const;
  // Waits for the program's end: its exit code, or 128 + the signal that ended it.
  int Wait();

 private:
  bool ReadSome();

  int master_ = -1;
  int slave_ = -1;  // kept open, so that the settings stay
  pid_t pid_ = -1;
  std::string shown_;
  size_t awaited_ = 0;
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_CLIENT_TERMINAL_H_
