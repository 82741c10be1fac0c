#include "server/memory_table.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::testing::ElementsAre;

constexpr size_t kMiB = size_t{1} << 20;

TEST(MemoryTable, NumbersStandBelowEachOther) {
  const MemoryBudget budget{.weights = 15626 * kMiB,
                            .activations = 215 * kMiB,
                            .rope_tables = 20 * kMiB,
                            .workspace = 410 * kMiB,
                            .kv_cache = 100290 * kMiB,
                            .reserve = 1800 * kMiB,
                            .limit = 128840 * kMiB,
                            .gpu_memory_fraction = 0.9};
  KvManagerConfig kv;
  kv.block_tokens = 64;
  kv.groups = {{.num_blocks = 12536}};
  EXPECT_THAT(FormatMemoryTable(budget, kv),
              ElementsAre("memory           GiB",                                            //
                          "  weights      15.26",                                            //
                          "  activations   0.21",                                            //
                          "  rope tables   0.02",                                            //
                          "  workspace     0.40",                                            //
                          "  KV cache     97.94  12536 blocks of 64 tokens: 802304 tokens",  //
                          "  reserve       1.76",                                            //
                          "  total       115.59  of 125.82 (--gpu-memory-fraction 0.90)"));
}

TEST(MemoryTable, KindsOfLayersHaveTheirOwnBlocks) {
  const MemoryBudget budget{.weights = 3 * kMiB, .kv_cache = 64 * kMiB, .limit = 8192 * kMiB};
  KvManagerConfig kv;
  kv.block_tokens = 16;
  kv.groups = {{.num_blocks = 100},
               {.window = 512, .num_blocks = 40},
               {.window = 512, .sinks = 4, .num_blocks = 41}};
  EXPECT_THAT(FormatMemoryTable(budget, kv),
              ElementsAre("memory           MiB",                                      //
                          "  weights       3.00",                                      //
                          "  activations   0.00",                                      //
                          "  rope tables   0.00",                                      //
                          "  workspace     0.00",                                      //
                          "  KV cache     64.00",                                      //
                          "    full attention: 100 blocks of 16 tokens: 1600 tokens",  //
                          "    window 512: 40 blocks of 16 tokens: 640 tokens",        //
                          "    window 512 and 4 sinks: 41 blocks of 16 tokens: 656 tokens",
                          "  total        67.00  of 8192.00"));
}

TEST(MemoryTable, EncodersHaveNoBlocks) {
  const MemoryBudget budget{.weights = 3 * kMiB, .limit = 8192 * kMiB};
  EXPECT_THAT(FormatMemoryTable(budget, {}), ::testing::Contains("  KV cache      0.00"));
}

}  // namespace
}  // namespace quire
