#include "kvcache/block_pool.h"

#include <set>

#include "gtest/gtest.h"

namespace quire {
namespace {

TEST(BlockPool, GivesEachBlockOnce) {
  BlockPool pool(8);
  std::set<BlockId> taken;
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(taken.insert(pool.Take().block).second);
  EXPECT_EQ(pool.num_available(), 0);
  pool.CheckInvariants();
}

TEST(BlockPool, ABlockIsFreeWithItsLastReference) {
  BlockPool pool(2);
  const BlockId block = pool.Take().block;
  pool.AddReference(block);
  pool.Release(block);
  EXPECT_EQ(pool.num_free(), 1);
  pool.Release(block);
  EXPECT_EQ(pool.num_free(), 2);
}

TEST(BlockPool, CachedBlocksAreEvictedLeastRecentlyUsedFirstAndOnlyAfterFreeOnes) {
  BlockPool pool(3);
  const BlockId a = pool.Take().block;
  const BlockId b = pool.Take().block;
  pool.SetIndexed(a);
  pool.SetIndexed(b);
  pool.Release(b);
  pool.Release(a);
  EXPECT_EQ(pool.num_cached(), 2);
  EXPECT_FALSE(pool.Take().evicted);
  const BlockPool::Taken first = pool.Take();
  EXPECT_TRUE(first.evicted);
  EXPECT_EQ(first.block, b);
  EXPECT_EQ(pool.Take().block, a);
  pool.CheckInvariants();
}

TEST(BlockPool, ARevivedBlockIsNotEvicted) {
  BlockPool pool(1);
  const BlockId block = pool.Take().block;
  pool.SetIndexed(block);
  pool.Release(block);
  pool.AddReference(block);
  EXPECT_EQ(pool.num_available(), 0);
  EXPECT_EQ(pool.references(block), 1);
}

TEST(BlockPoolDeathTest, MisuseIsABug) {
  BlockPool pool(1);
  const BlockId block = pool.Take().block;
  EXPECT_DEATH(pool.Take(), "num_available");
  pool.Release(block);
  EXPECT_DEATH(pool.Release(block), "references > 0 \\(0 vs. 0\\)");
  EXPECT_DEATH(pool.AddReference(block), "free block 0 gained a reference");
  EXPECT_DEATH(pool.Release(BlockId(7)), "7 vs. 1");
}

}  // namespace
}  // namespace quire
