#include "server/load_progress.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kGiB = int64_t{1} << 30;

TEST(LoadProgress, TellsBytesSpeedAndWhatIsLeft) {
  EXPECT_EQ(FormatLoaded({10 * kGiB, 40 * kGiB, absl::Seconds(5)}),
            "10.0 of 40.0 GiB, 2.15 GB/s, 15 s left");
  EXPECT_EQ(FormatLoaded({kGiB / 2, 40 * kGiB, absl::Seconds(2)}),
            "0.5 of 40.0 GiB, 0.27 GB/s, 2 min 38 s left");
  EXPECT_EQ(FormatLoaded({3 << 20, 6 << 20, absl::Milliseconds(10)}),
            "3.0 of 6.0 MiB, 0.31 GB/s, 1 s left");
  EXPECT_EQ(FormatLoaded({kGiB, kGiB, absl::Milliseconds(2500)}),
            "1.0 of 1.0 GiB, 0.43 GB/s, in 2.5 s");
}

TEST(LoadProgress, SaysNoSpeedOfNothing) {
  EXPECT_EQ(FormatLoaded({0, 40 * kGiB, absl::Seconds(5)}), "0.0 of 40.0 GiB");
  EXPECT_EQ(FormatLoaded({kGiB, 40 * kGiB, absl::ZeroDuration()}), "1.0 of 40.0 GiB");
  EXPECT_EQ(FormatLoaded({0, 0, absl::ZeroDuration()}), "0.0 of 0.0 MiB");
}

TEST(LoadProgress, TheBarIsAsLongAsItsShare) {
  const auto bar = [](int64_t done, int64_t total) {
    return FormatLoadBar({done, total, absl::ZeroDuration()});
  };
  EXPECT_EQ(bar(0, 1 << 20), "  0% [                            ] 0.0 of 1.0 MiB");
  EXPECT_EQ(bar(1 << 19, 1 << 20), " 50% [##############              ] 0.5 of 1.0 MiB");
  EXPECT_EQ(bar(1 << 20, 1 << 20), "100% [############################] 1.0 of 1.0 MiB");
  EXPECT_EQ(bar(2 << 20, 1 << 20), "100% [############################] 2.0 of 1.0 MiB");
  EXPECT_EQ(bar(0, 0), "100% [############################] 0.0 of 0.0 MiB");
}

class LoadReportTest : public ::testing::Test {
 protected:
  LoadReport Report(bool is_terminal) {
    return LoadReport(is_terminal, [this](absl::string_view text) { written_.emplace_back(text); });
  }
  static absl::Time At(int64_t milliseconds) {
    return absl::UnixEpoch() + absl::Milliseconds(milliseconds);
  }

  std::vector<std::string> written_;
};

TEST_F(LoadReportTest, ATerminalHasOneLineThatIsWrittenOver) {
  LoadReport report = Report(true);
  report.Show(0, 4 * kGiB, At(1000));
  report.Show(kGiB, 4 * kGiB, At(1099));  // too soon
  report.Show(2 * kGiB, 4 * kGiB, At(2000));
  report.Show(4 * kGiB, 4 * kGiB, At(2001));  // the last in any case
  report.End();
  report.End();
  EXPECT_THAT(
      written_,
      ElementsAre("\rloading   0% [                            ] 0.0 of 4.0 GiB\033[K",
                  "\rloading  50% [##############              ] 2.0 of 4.0 GiB, 2.15 GB/s, "
                  "1 s left\033[K",
                  "\rloading 100% [############################] 4.0 of 4.0 GiB, 4.29 GB/s, "
                  "in 1.0 s\033[K",
                  "\n"));
}

TEST_F(LoadReportTest, ElseALineEveryFiveSecondsAndAtTheEnd) {
  LoadReport report = Report(false);
  report.Show(0, 40 * kGiB, At(0));
  report.Show(10 * kGiB, 40 * kGiB, At(4999));
  EXPECT_THAT(written_, IsEmpty());
  report.Show(10 * kGiB, 40 * kGiB, At(5000));
  report.Show(20 * kGiB, 40 * kGiB, At(9999));
  report.Show(20 * kGiB, 40 * kGiB, At(10000));
  report.Show(40 * kGiB, 40 * kGiB, At(10001));
  report.Show(41 * kGiB, 40 * kGiB, At(20000));  // of which the total knew nothing
  report.End();
  EXPECT_THAT(written_, ElementsAre("loading weights: 10.0 of 40.0 GiB, 2.15 GB/s, 15 s left",
                                    "loading weights: 20.0 of 40.0 GiB, 2.15 GB/s, 10 s left",
                                    "loading weights: 40.0 of 40.0 GiB, 4.29 GB/s, in 10.0 s"));
}

TEST_F(LoadReportTest, WhatNeverBeganHasNoLineToEnd) {
  LoadReport report = Report(true);
  report.End();
  EXPECT_THAT(written_, IsEmpty());
}

}  // namespace
}  // namespace quire
