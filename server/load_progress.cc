#include "server/load_progress.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace quire {
namespace {

constexpr int kBarWidth = 28;
constexpr absl::Duration kRedraw = absl::Milliseconds(100);
constexpr absl::Duration kLines = absl::Seconds(5);

double DoneShare(const LoadedShare& share) {
  if (share.total_bytes <= 0) return 1.0;
  return std::clamp(static_cast<double>(share.done_bytes) / static_cast<double>(share.total_bytes),
                    0.0, 1.0);
}

std::string FormatLeft(double seconds) {
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  return whole < 60 ? absl::StrCat(whole, " s")
                    : absl::StrFormat("%d min %02d s", whole / 60, whole % 60);
}

}  // namespace

std::string FormatLoaded(const LoadedShare& share) {
  const bool is_large = share.total_bytes >= int64_t{1} << 30;
  const double unit = is_large ? 0x1p30 : 0x1p20;
  const auto done = static_cast<double>(share.done_bytes);
  std::string text =
      absl::StrFormat("%.1f of %.1f %s", done / unit, static_cast<double>(share.total_bytes) / unit,
                      is_large ? "GiB" : "MiB");
  const double seconds = absl::ToDoubleSeconds(share.elapsed);
  if (share.done_bytes <= 0 || seconds <= 0.0) return text;
  absl::StrAppendFormat(&text, ", %.2f GB/s, ", done / seconds / 1e9);
  if (share.done_bytes >= share.total_bytes) return text + absl::StrFormat("in %.1f s", seconds);
  const double left = seconds * static_cast<double>(share.total_bytes - share.done_bytes) / done;
  return absl::StrCat(text, FormatLeft(left), " left");
}

std::string FormatLoadBar(const LoadedShare& share) {
  const double done = DoneShare(share);
  const int filled = static_cast<int>(done * kBarWidth);
  return absl::StrFormat("%3d%% [%s%s] %s", static_cast<int>(done * 100), std::string(filled, '#'),
                         std::string(kBarWidth - filled, ' '), FormatLoaded(share));
}

void LoadReport::Show(int64_t done_bytes, int64_t total_bytes, absl::Time now) {
  const bool is_first = !begin_.has_value();
  if (is_first) begin_ = last_ = now;
  const LoadedShare share{done_bytes, total_bytes, now - *begin_};
  const bool is_whole = done_bytes >= total_bytes;
  const bool is_due = now - last_ >= (is_terminal_ ? kRedraw : kLines);
  if (was_whole_ || (!is_due && !is_whole && !(is_first && is_terminal_))) return;
  last_ = now;
  was_whole_ = is_whole;
  if (!is_terminal_) return write_(absl::StrCat("loading weights: ", FormatLoaded(share)));
  // Longer lines of before end behind it.
  write_(absl::StrCat("\rloading ", FormatLoadBar(share), "\033[K"));
  line_is_open_ = true;
}

void LoadReport::End() {
  if (line_is_open_) write_("\n");
  line_is_open_ = false;
}

}  // namespace quire
