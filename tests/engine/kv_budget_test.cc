#include "engine/kv_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/model_config.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

constexpr int kBlockTokens = 16;

// Layers with full attention, and layers with a window of 64 tokens.
KvGroups Groups(int full_layers, int window_layers) {
  ModelConfig config;
  config.num_layers = full_layers + window_layers;
  config.num_heads = 4;
  config.num_kv_heads = 2;
  config.head_dim = 32;
  config.value_dim = 32;
  config.layers.assign(full_layers, {});
  config.layers.resize(config.num_layers, {.window = 64});
  return GroupKvLayers(config, kBlockTokens, DType::kBFloat16);
}

SchedulerConfig Limits() {
  return {.max_batch_tokens = 128, .max_num_sequences = 8, .context_tokens = 1024};
}

size_t Bytes(const std::vector<KvGroupStorage>& pools) {
  size_t bytes = 0;
  for (const KvGroupStorage& pool : pools) bytes += pool.block_bytes() * pool.num_blocks;
  return bytes;
}

TEST(KvBudget, APlanNeverTakesMoreThanItsBudgetAndGrowsWithIt) {
  for (const KvGroups& groups : {Groups(4, 0), Groups(0, 4), Groups(2, 6)}) {
    std::vector<KvGroupStorage> last;
    for (size_t budget = size_t{1} << 16; budget < size_t{64} << 20; budget += 77777) {
      const auto pools = PlanKvBlocks(groups, Limits(), budget);
      if (!pools.ok()) {
        EXPECT_TRUE(last.empty()) << "a larger budget is refused";
        continue;
      }
      EXPECT_LE(Bytes(*pools), budget);
      for (size_t group = 0; group < last.size(); ++group) {
        EXPECT_GE((*pools)[group].num_blocks, last[group].num_blocks);
      }
      last = *pools;
    }
    ASSERT_FALSE(last.empty());
    EXPECT_EQ(Bytes(last), MaxKvBytes(groups, Limits()));
  }
}

TEST(KvBudget, TheLeastBudgetIsNamedAndWorks) {
  const KvGroups groups = Groups(2, 2);
  const auto refused = PlanKvBlocks(groups, Limits(), 1000);
  ASSERT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  // One page of the full group, and a window with a chunk's pages of the other.
  const int64_t window_blocks = Scheduler::MinWindowBlocks(Limits(), 64, 0, kBlockTokens);
  const size_t page = groups.groups[0].layout.token_bytes() * kBlockTokens * 2;
  const size_t least = page * (1 + window_blocks);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("a KV cache of 1000 bytes is too small: the least that works is " +
                        std::to_string(least)));
  EXPECT_TRUE(PlanKvBlocks(groups, Limits(), least).ok());
  EXPECT_FALSE(PlanKvBlocks(groups, Limits(), least - 1).ok());
}

// A window group never needs pages for what its sequences have forgotten.
TEST(KvBudget, WindowGroupsTakePagesForTheirWindowsOnly) {
  const auto pools = PlanKvBlocks(Groups(1, 1), Limits(), size_t{64} << 20);
  ASSERT_TRUE(pools.ok());
  EXPECT_EQ((*pools)[0].num_blocks, 8 * 1024 / kBlockTokens);
  EXPECT_EQ((*pools)[1].num_blocks, 8 * (64 / kBlockTokens + 1) + 128 / kBlockTokens);
}

TEST(KvBudget, TheLongestContextsOfTheMostSequencesStayCountable) {
  SchedulerConfig scheduler = Limits();
  scheduler.context_tokens = int64_t{1} << 26;
  scheduler.max_num_sequences = 1 << 16;
  scheduler.max_batch_tokens = 1 << 16;
  const auto pools = PlanKvBlocks(Groups(1, 0), scheduler, SIZE_MAX / 2);
  ASSERT_TRUE(pools.ok());
  EXPECT_EQ((*pools)[0].num_blocks, INT32_MAX);
}

}  // namespace
}  // namespace quire
