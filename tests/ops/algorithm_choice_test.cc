#include "ops/cuda/algorithm_choice.h"

#include <algorithm>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(FastestInvariant, AFasterOneWhoseBitsDependOnTheBatchDoesNotCount) {
  EXPECT_EQ(FastestInvariant({{false, {1e-6, 1e-6}}, {true, {3e-6, 3e-6}}, {true, {2e-6, 2e-6}}}),
            2U);
  EXPECT_EQ(FastestInvariant({{false, {1e-6}}}), std::nullopt);
  EXPECT_EQ(FastestInvariant({}), std::nullopt);
}

TEST(FastestInvariant, EveryNumberOfRowsHasTheSameSay) {
  // The first wins 10% of the longest product, the second half of the shortest.
  EXPECT_EQ(FastestInvariant({{true, {2e-6, 900e-6}}, {true, {1e-6, 1000e-6}}}), 1U);
  // How much faster a variant one is makes no difference between the others.
  EXPECT_EQ(
      FastestInvariant({{true, {2e-6, 900e-6}}, {true, {1e-6, 1000e-6}}, {false, {1e-9, 1e-3}}}),
      1U);
}

TEST(FastestInvariant, OfEqualsTheLibrarysEarlierChoiceIsTaken) {
  EXPECT_EQ(FastestInvariant({{false, {1.0}}, {true, {2.0}}, {true, {2.0}}}), 1U);
}

TEST(RowsToCheck, HasEveryFewRowsAndTheEdgesOfMany) {
  EXPECT_THAT(RowsToCheck(0, 3), ElementsAre(1, 2, 3));
  EXPECT_THAT(RowsToCheck(3, 5), ElementsAre(4, 5));
  EXPECT_THAT(RowsToCheck(1024, 3000), ElementsAre(2047, 2048, 2049, 3000));
  EXPECT_THAT(RowsToCheck(5, 5), IsEmpty());
  const std::vector<int64_t> many = RowsToCheck(0, 8192);
  for (int64_t m : {1, 513, 1000, 1024, 4095, 4096, 4097, 8191, 8192}) {
    EXPECT_THAT(many, Contains(m));
  }
  EXPECT_TRUE(std::is_sorted(many.begin(), many.end()));
  EXPECT_EQ(std::set<int64_t>(many.begin(), many.end()).size(), many.size());
  EXPECT_EQ(many.back(), 8192);
}

TEST(RowBuckets, CoverEveryNumberOfRowsOnce) {
  EXPECT_THAT(RowBuckets(1), ElementsAre(1));
  EXPECT_THAT(RowBuckets(64), ElementsAre(64));
  EXPECT_THAT(RowBuckets(512), ElementsAre(64, 256, 512));
  EXPECT_THAT(RowBuckets(8192), ElementsAre(64, 256, 1024, 4096, 8192));
  const std::vector<int64_t> buckets = RowBuckets(512);
  EXPECT_EQ(BucketOf(1, buckets), 0U);
  EXPECT_EQ(BucketOf(64, buckets), 0U);
  EXPECT_EQ(BucketOf(65, buckets), 1U);
  EXPECT_EQ(BucketOf(257, buckets), 2U);
  EXPECT_EQ(BucketOf(512, buckets), 2U);
  EXPECT_DEATH(BucketOf(513, buckets), "513 rows, at most 512");
}

}  // namespace
}  // namespace quire
