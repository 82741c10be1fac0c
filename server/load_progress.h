// How far the loading of weights is, for whoever looks at stderr.
#ifndef QUIRE_SERVER_LOAD_PROGRESS_H_
#define QUIRE_SERVER_LOAD_PROGRESS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace quire {

struct LoadedShare {
  int64_t done_bytes = 0;
  int64_t total_bytes = 0;
  absl::Duration elapsed;
};

// "12.3 of 29.1 GiB, 2.10 GB/s, 8 s left"; without speed and end where nothing is done yet, and
// with "in 13.9 s" where everything is.
std::string FormatLoaded(const LoadedShare& share);
// " 42% [###########                 ] " and the above.
std::string FormatLoadBar(const LoadedShare& share);

// On a terminal one line that is written over, at most ten times a second; else a line every five
// seconds and one at the end.
class LoadReport {
 public:
  using Write = std::function<void(absl::string_view)>;

  // `write` gets raw text where is_terminal, else messages of one line.
  LoadReport(bool is_terminal, Write write) : is_terminal_(is_terminal), write_(std::move(write)) {}

  // Begins with the first call.
  void Show(int64_t done_bytes, int64_t total_bytes, absl::Time now);
  // Ends the line, where one was begun.
  void End();

 private:
  const bool is_terminal_;
  const Write write_;
  std::optional<absl::Time> begin_;
  absl::Time last_;
  bool was_whole_ = false;
  bool line_is_open_ = false;
};

}  // namespace quire

#endif  // QUIRE_SERVER_LOAD_PROGRESS_H_
