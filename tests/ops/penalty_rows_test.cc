// Which penalty row is whose, and what is taken for counted in it.
#include "ops/cuda/penalty_rows.h"

#include <cstdint>
#include <optional>
#include <vector>

#include "gtest/gtest.h"

namespace quire {
namespace {

constexpr int64_t kMostNew = 8;

class PenaltyRowsTest : public ::testing::Test {
 protected:
  SampleRow Row(uint64_t sequence, int64_t output, bool is_pending = false) const {
    SampleRow row;
    row.params = &params_;
    row.output = absl::MakeConstSpan(output_).first(output);
    if (is_pending) row.pending = 0;
    row.sequence = sequence;
    return row;
  }

  SamplingParams params_{.presence_penalty = 1.0F};
  const std::vector<TokenId> output_ = std::vector<TokenId>(100);
};

TEST_F(PenaltyRowsTest, ASequenceGoesOnFromWhatIsCounted) {
  PenaltyRows rows(2, kMostNew);
  const PenaltyRows::Place first = rows.Take(Row(7, 10));
  EXPECT_EQ(first.counted, std::nullopt);
  for (const int64_t output : {10, 11, 13, 13 + static_cast<int>(kMostNew)}) {
    const std::optional<int64_t> counted = rows.Counted(Row(7, output));
    rows.BeginTurn();
    const PenaltyRows::Place next = rows.Take(Row(7, output));
    EXPECT_EQ(next.row, first.row);
    ASSERT_TRUE(next.counted.has_value());
    EXPECT_EQ(next.counted, counted);
  }
  EXPECT_EQ(rows.Counted(Row(7, 22)), 21);
  EXPECT_EQ(rows.Counted(Row(7, 21 + kMostNew + 1)), std::nullopt) << "too many to be told of";
}

// As a draw of no token leaves it.
TEST_F(PenaltyRowsTest, APendingTokenIsCountedAndAnOutputWithoutItBeginsAnew) {
  PenaltyRows rows(2, kMostNew);
  rows.Take(Row(7, 10, /*is_pending=*/true));
  EXPECT_EQ(rows.Counted(Row(7, 11)), 11);
  EXPECT_EQ(rows.Counted(Row(7, 11, /*is_pending=*/true)), 11);
  EXPECT_EQ(rows.Counted(Row(7, 10)), std::nullopt);
  EXPECT_EQ(rows.Counted(Row(7, 10, /*is_pending=*/true)), std::nullopt);
  rows.BeginTurn();
  EXPECT_EQ(rows.Take(Row(7, 10)).counted, std::nullopt);
  EXPECT_EQ(rows.Counted(Row(7, 11)), 10);
}

TEST_F(PenaltyRowsTest, ARowThatReadsThePromptNeedsItCounted) {
  PenaltyRows rows(2, kMostNew);
  rows.Take(Row(7, 10));
  params_.repetition_penalty = 2.0F;
  EXPECT_EQ(rows.Counted(Row(7, 10)), std::nullopt);
  rows.BeginTurn();
  rows.Take(Row(7, 10));
  EXPECT_EQ(rows.Counted(Row(7, 10)), 10);
  params_.repetition_penalty = 1.0F;
  rows.BeginTurn();
  EXPECT_EQ(rows.Take(Row(7, 10)).counted, 10);
  params_.repetition_penalty = 2.0F;
  EXPECT_EQ(rows.Counted(Row(7, 10)), 10) << "it is there still";
}

TEST_F(PenaltyRowsTest, TheOneUsedLongestAgoMakesWay) {
  PenaltyRows rows(3, kMostNew);
  std::vector<int32_t> taken;
  for (uint64_t sequence : {1, 2, 3}) {
    taken.push_back(rows.Take(Row(sequence, 1)).row);
    rows.BeginTurn();
  }
  rows.Take(Row(1, 2));
  rows.BeginTurn();
  EXPECT_EQ(rows.Take(Row(4, 1)).row, taken[1]);
  EXPECT_EQ(rows.Counted(Row(2, 2)), std::nullopt);
  EXPECT_EQ(rows.Counted(Row(1, 3)), 2);
  EXPECT_EQ(rows.Counted(Row(3, 2)), 1);
  EXPECT_EQ(rows.Counted(Row(4, 1)), 1);
}

TEST_F(PenaltyRowsTest, NoRowOfTheTurnMakesWay) {
  PenaltyRows rows(2, kMostNew);
  uint64_t sequence = 1;
  for (; sequence < 200; sequence += 2) {
    rows.BeginTurn();
    EXPECT_FALSE(rows.IsTaken(sequence));
    const int32_t first = rows.Take(Row(sequence, 1)).row;
    EXPECT_TRUE(rows.IsTaken(sequence));
    EXPECT_NE(rows.Take(Row(sequence + 1, 1)).row, first);
  }
  EXPECT_DEATH(rows.Take(Row(sequence - 1, 2)), "sequence");
  EXPECT_DEATH(rows.Take(Row(sequence, 1)), "more than 2 rows");
}

TEST_F(PenaltyRowsTest, ASequenceThatIsUnknownIsForgotten) {
  PenaltyRows rows(3, kMostNew);
  const int32_t known = rows.Take(Row(5, 1)).row;
  const int32_t unknown = rows.Take(Row(0, 1)).row;
  EXPECT_FALSE(rows.IsTaken(0));
  EXPECT_NE(rows.Take(Row(0, 1)).row, unknown);
  EXPECT_EQ(rows.Counted(Row(0, 1)), std::nullopt);
  rows.BeginTurn();
  EXPECT_NE(rows.Take(Row(6, 1)).row, known) << "nobody's rows go first";
  EXPECT_EQ(rows.Counted(Row(5, 1)), 1);
}

}  // namespace
}  // namespace quire
