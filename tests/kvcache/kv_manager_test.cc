#include "kvcache/kv_manager.h"

#include <vector>

#include "gtest/gtest.h"

namespace quire {
namespace {

constexpr int kBlockTokens = 4;
const PlanId kNoPlan;

KvManagerConfig Config(std::vector<KvGroupConfig> groups) {
  return {.block_tokens = kBlockTokens, .groups = std::move(groups), .hash_key = {1, 2}};
}

TokenId Identity(int64_t position) { return static_cast<TokenId>(position); }

// Computes positions [0, end) of a fresh sequence and publishes them.
SequenceKv Computed(KvManager& kv, int64_t end, absl::string_view tenant = "") {
  SequenceKv sequence = kv.NewSequence(tenant, "", "", true);
  std::vector<PageCopy> copies;
  kv.Reserve(sequence, 0, end, end, kNoPlan, copies);
  EXPECT_TRUE(copies.empty());
  kv.Publish(sequence, end, Identity);
  return sequence;
}

PrefixHit MatchAll(KvManager& kv, int64_t tokens, absl::string_view tenant = "") {
  SequenceKv sequence = kv.NewSequence(tenant, "", "", true);
  kv.ExtendChain(sequence, tokens, Identity);
  return kv.Match(sequence, static_cast<int32_t>(tokens / kBlockTokens), Identity);
}

TEST(KvManager, CapacityIsTheSmallestFullGroup) {
  EXPECT_EQ(KvManager(Config({{.window = 0, .num_blocks = 10}, {.window = 4, .num_blocks = 3}}))
                .MaxSequenceTokens(),
            40);
}

TEST(KvManager, APrefixIsFoundAgainAfterItsSequenceEnds) {
  KvManager kv(Config({{.window = 0, .num_blocks = 8}}));
  SequenceKv first = Computed(kv, 10);
  kv.ReleaseAll(first, kNoPlan);
  const PrefixHit hit = MatchAll(kv, 20);
  EXPECT_EQ(hit.blocks, 2);  // the third block was not full
  EXPECT_EQ(hit.revived[0], 2);
  SequenceKv second = kv.NewSequence("", "", "", true);
  kv.TakeHit(second, hit);
  EXPECT_EQ(second.tables[0].blocks.size(), 2U);
  kv.CheckInvariants(std::vector<const SequenceKv*>{&second});
}

TEST(KvManager, TenantsNeverShareAPrefix) {
  KvManager kv(Config({{.window = 0, .num_blocks = 8}}));
  SequenceKv first = Computed(kv, 8, "alice");
  EXPECT_EQ(MatchAll(kv, 8, "alice").blocks, 2);
  EXPECT_EQ(MatchAll(kv, 8, "bob").blocks, 0);
}

TEST(KvManager, OtherTokensNeverMatch) {
  KvManager kv(Config({{.window = 0, .num_blocks = 8}}));
  SequenceKv first = Computed(kv, 8);
  SequenceKv other = kv.NewSequence("", "", "", true);
  const auto changed = [](int64_t position) {
    return static_cast<TokenId>(position == 5 ? 99 : position);
  };
  kv.ExtendChain(other, 8, changed);
  EXPECT_EQ(kv.Match(other, 2, changed).blocks, 1);
}

TEST(KvManager, EvictedBlocksAreNotFound) {
  KvManager kv(Config({{.window = 0, .num_blocks = 3}}));
  SequenceKv first = Computed(kv, 12);
  kv.ReleaseAll(first, kNoPlan);
  SequenceKv second = kv.NewSequence("other", "", "", true);
  std::vector<PageCopy> copies;
  kv.Reserve(second, 0, 4, 4, kNoPlan, copies);  // takes one block: the tail of the cached prefix
  EXPECT_EQ(MatchAll(kv, 12).blocks, 2);
  kv.CheckInvariants(std::vector<const SequenceKv*>{&second});
}

TEST(KvManager, AWindowGroupGivesBackWhatNoLaterRowSees) {
  KvManager kv(Config({{.window = 0, .num_blocks = 8}, {.window = 5, .num_blocks = 8}}));
  SequenceKv sequence = Computed(kv, 16);
  kv.ReleaseBehindWindow(sequence, 16, kNoPlan);
  EXPECT_EQ(sequence.tables[0].blocks.size(), 4U);
  EXPECT_EQ(sequence.tables[1].gone, 3);  // a row at 16 sees 12..16
  EXPECT_EQ(sequence.tables[1].blocks.size(), 1U);
  kv.ReleaseBehindWindow(sequence, 16, kNoPlan);  // again: nothing more
  EXPECT_EQ(sequence.tables[1].blocks.size(), 1U);
  kv.CheckInvariants(std::vector<const SequenceKv*>{&sequence});
}

TEST(KvManager, AHitNeedsOnlyTheLastWindowOfAWindowGroup) {
  KvManager kv(Config({{.window = 0, .num_blocks = 8}, {.window = 5, .num_blocks = 3}}));
  SequenceKv sequence = kv.NewSequence("", "", "", true);
  std::vector<PageCopy> copies;
  for (int64_t end = 4; end <= 16; end += 4) {  // chunks of a block; pages leave the window between
    kv.Reserve(sequence, end - 4, end, end, kNoPlan, copies);
    kv.Publish(sequence, end, Identity);
    kv.ReleaseBehindWindow(sequence, end, kNoPlan);
  }
  kv.ReleaseAll(sequence, kNoPlan);
  // The window group's three blocks hold the end of the prefix; its first block was evicted.
  const PrefixHit hit = MatchAll(kv, 16);
  EXPECT_EQ(hit.blocks, 4);
  SequenceKv second = kv.NewSequence("", "", "", true);
  kv.TakeHit(second, hit);
  EXPECT_EQ(second.tables[1].gone, 3);
  EXPECT_EQ(MatchAll(kv, 4).blocks, 0) << "a row at 4 would see position 0, which is gone";
}

TEST(KvManager, SinksStayWhileTheWindowMovesOn) {
  KvManager kv(Config({{.window = 5, .sinks = 6, .num_blocks = 8}}));
  SequenceKv sequence = kv.NewSequence("", "", "", true);
  std::vector<PageCopy> copies;
  std::vector<BlockId> sinks;
  for (int64_t end = 4; end <= 40; end += 4) {
    kv.Reserve(sequence, end - 4, end, end, kNoPlan, copies);
    if (end == 8) sinks = sequence.tables[0].blocks;
    kv.Publish(sequence, end, Identity);
    kv.ReleaseBehindWindow(sequence, end, kNoPlan);
    ASSERT_LE(sequence.tables[0].blocks.size(), 4U);
  }
  const BlockTable& table = sequence.tables[0];
  ASSERT_EQ(table.end_block(), 10);
  EXPECT_EQ(table.blocks.size(), 3U);  // two of sinks, and a row at 40 sees 36..40
  EXPECT_EQ(table.At(0), sinks[0]);
  EXPECT_EQ(table.At(1), sinks[1]);
  EXPECT_TRUE(table.IsGone(2));
  EXPECT_TRUE(table.IsGone(8));
  EXPECT_FALSE(table.IsGone(9));
  kv.CheckInvariants(std::vector<const SequenceKv*>{&sequence});
  kv.ReleaseAll(sequence, kNoPlan);
  // The sinks and the last window are enough to go on from.
  const PrefixHit hit = MatchAll(kv, 40);
  EXPECT_EQ(hit.blocks, 10);
  EXPECT_EQ(hit.held[0].size(), 3U);
  SequenceKv second = kv.NewSequence("", "", "", true);
  kv.TakeHit(second, hit);
  EXPECT_EQ(second.tables[0].At(1), sinks[1]);
  EXPECT_TRUE(second.tables[0].IsGone(8));
}

TEST(KvManager, AHitNeedsTheSinksToo) {
  KvManager kv(Config({{.window = 5, .sinks = 6, .num_blocks = 8}}));
  SequenceKv sequence = Computed(kv, 32);
  kv.ReleaseAll(sequence, kNoPlan);  // last block first
  EXPECT_EQ(MatchAll(kv, 32).blocks, 8);
  SequenceKv other = kv.NewSequence("other", "", "", true);
  std::vector<PageCopy> copies;
  kv.Reserve(other, 0, 16, 16, kNoPlan, copies);  // evicts the last four
  EXPECT_EQ(MatchAll(kv, 32).blocks, 4);
  kv.Reserve(other, 16, 28, 28, kNoPlan, copies);  // and three more: one sink block is left
  EXPECT_EQ(MatchAll(kv, 32).blocks, 1);
}

TEST(KvManager, ForksShareTheirPagesAndCopyTheTailOnWrite) {
  KvManager kv(Config({{.window = 0, .num_blocks = 8}}));
  SequenceKv parent = Computed(kv, 6);
  SequenceKv child = kv.NewSequence("", "", "", true);
  kv.Fork(parent, child);
  EXPECT_EQ(kv.BlocksNeeded(parent, 6, 7, 7)[0], 1);
  std::vector<PageCopy> copies;
  kv.Reserve(parent, 6, 7, 7, kNoPlan, copies);
  ASSERT_EQ(copies.size(), 1U);
  EXPECT_EQ(copies[0].source, child.tables[0].At(1));
  EXPECT_EQ(copies[0].target, parent.tables[0].At(1));
  EXPECT_EQ(parent.tables[0].At(0), child.tables[0].At(0));
  EXPECT_EQ(kv.BlocksNeeded(child, 6, 7, 7)[0], 0) << "the last holder writes in place";
  kv.CheckInvariants(std::vector<const SequenceKv*>{&parent, &child});
}

TEST(KvManager, ABlockIsFreeOnceTheLastPlanThatNamesItHasCommitted) {
  KvManager kv(Config({{.window = 0, .num_blocks = 2}}));
  SequenceKv parent = Computed(kv, 6);
  SequenceKv child = kv.NewSequence("", "", "", true);
  kv.Fork(parent, child);
  kv.ReleaseAll(parent, PlanId(1));
  kv.ReleaseAll(child, PlanId(0));  // the last to let go, though an earlier plan named it
  EXPECT_EQ(kv.pool(0).num_available(), 0);
  EXPECT_EQ(kv.Releasing()[0], 2);
  kv.CommitPlan(PlanId(0));
  EXPECT_EQ(kv.pool(0).num_available(), 0);
  kv.CommitPlan(PlanId(1));
  EXPECT_EQ(kv.pool(0).num_available(), 2);
  kv.CheckInvariants({});
}

TEST(KvManager, ABlockThatALaterPlanCameToNameIsFreeOnceThatOneHasCommitted) {
  KvManager kv(Config({{.window = 0, .num_blocks = 4}}));
  SequenceKv first = Computed(kv, 8);
  kv.ReleaseAll(first, PlanId(0));  // waits for plan 0
  SequenceKv second = kv.NewSequence("", "", "", true);
  kv.TakeHit(second, MatchAll(kv, 8));
  kv.ReleaseAll(second, PlanId(1));  // named by plan 1, and cancelled
  kv.CommitPlan(PlanId(0));
  EXPECT_EQ(kv.pool(0).num_referenced(), 2);
  kv.CheckInvariants({});
  kv.CommitPlan(PlanId(1));
  EXPECT_EQ(kv.pool(0).num_referenced(), 0);
}

TEST(KvManager, WhatDoesNotPublishIsNeverFound) {
  KvManager kv(Config({{.window = 0, .num_blocks = 4}}));
  SequenceKv sequence = kv.NewSequence("", "", "", false);
  std::vector<PageCopy> copies;
  kv.Reserve(sequence, 0, 8, 8, kNoPlan, copies);
  kv.Publish(sequence, 8, Identity);
  EXPECT_EQ(MatchAll(kv, 8).blocks, 0);
  kv.ReleaseAll(sequence, kNoPlan);
  EXPECT_EQ(kv.pool(0).num_free(), 4);
}

}  // namespace
}  // namespace quire
