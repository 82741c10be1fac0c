#include "server/log.h"

#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace quire {

void Log(absl::string_view message) {
  const std::string line =
      absl::StrCat(absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone()), " ",
                   message, "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void DrawProgress(absl::string_view label, double share) {
  if (isatty(STDERR_FILENO) == 0) return;
  constexpr int kWidth = 40;
  const int filled = static_cast<int>(share * kWidth);
  const std::string line =
      absl::StrFormat("\r%s %3d%% [%s%s]", label, static_cast<int>(share * 100),
                      std::string(filled, '#'), std::string(kWidth - filled, ' '));
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

void EndProgress() {
  if (isatty(STDERR_FILENO) != 0) std::fputc('\n', stderr);
}

}  // namespace quire
