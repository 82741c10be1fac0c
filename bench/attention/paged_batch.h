// A batch over a paged cache of its own, for benchmarks.
#ifndef QUIRE_BENCH_ATTENTION_PAGED_BATCH_H_
#define QUIRE_BENCH_ATTENTION_PAGED_BATCH_H_

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "attention/attention.h"
#include "bench/ops/setup.h"
#include "core/ceil_div.h"
#include "core/check.h"

namespace quire::bench {

// Copies of a cache of `bytes` that no cache of the machine holds all of.
inline int64_t CopiesFor(int64_t bytes) { return std::max<int64_t>(1, kColdBytes / bytes + 1); }

// Entries of `query_tokens` rows each, at the end of `kv_tokens`. The cache has `copies` times
// their pages, shuffled and filled with small random numbers.
class PagedBatch {
 public:
  PagedBatch(Setup& setup, const KvPageLayout& layout, int64_t entries, int64_t query_tokens,
             int64_t kv_tokens, int64_t copies)
      : layout_(layout), rows_(entries * query_tokens) {
    const int block_tokens = layout.block_tokens;
    const int64_t pages = CeilDiv(kv_tokens, block_tokens);
    const auto page_bytes = static_cast<int64_t>(layout.page_bytes());
    auto pool = setup.memory.Allocate(copies * entries * pages * page_bytes, "benchmark");
    QUIRE_CHECK(pool.ok()) << pool.status();
    pool_ = *std::move(pool);
    FillRandom(pool_.data(), layout.dtype,
               static_cast<int64_t>(pool_.bytes() / DTypeBytes(layout.dtype)));
    blocks_.resize(copies * entries * pages);
    std::iota(blocks_.begin(), blocks_.end(), 0);
    std::mt19937 random(1);
    std::shuffle(blocks_.begin(), blocks_.end(), random);
    copy_blocks_ = entries * pages;
    for (int64_t e = 0; e <= entries; ++e) {
      query_start_.push_back(static_cast<int32_t>(e * query_tokens));
      table_start_.push_back(static_cast<int32_t>(e * pages));
    }
    first_block_.assign(entries, 0);
    kv_len_.assign(entries, static_cast<int32_t>(kv_tokens));
    for (int64_t e = 0; e < entries; ++e) {
      for (int64_t p = kv_tokens - query_tokens; p < kv_tokens; ++p) {
        positions_.push_back(static_cast<int32_t>(p));
        slots_.push_back(int64_t{blocks_[e * pages + p / block_tokens]} * block_tokens +
                         p % block_tokens);
      }
    }
  }

  int64_t rows() const { return rows_; }
  const KvPageLayout& layout() const { return layout_; }

  // The batch over the pages of copy `i` of its cache.
  AttentionBatch View(int64_t i) const {
    const int64_t copies = static_cast<int64_t>(blocks_.size()) / copy_blocks_;
    AttentionBatch batch;
    batch.query_start = Array(query_start_);
    batch.kv_len = Array(kv_len_);
    batch.positions = Array(positions_);
    batch.rope_rows = Array(positions_);
    batch.slots = Array(slots_);
    batch.table_start = Array(table_start_);
    batch.first_block = Array(first_block_);
    batch.blocks = {blocks_.data() + i % copies * copy_blocks_, copy_blocks_};
    return batch;
  }
  PagedKvView Kv() const {
    return {pool_.data(), static_cast<int64_t>(layout_.page_bytes()),
            static_cast<int64_t>(pool_.bytes() / layout_.page_bytes()), layout_};
  }

 private:
  template <typename T>
  static DeviceArray<const T> Array(const std::vector<T>& values) {
    return {values.data(), static_cast<int64_t>(values.size())};
  }

  KvPageLayout layout_;
  int64_t rows_;
  DeviceBuffer pool_;
  int64_t copy_blocks_ = 0;
  std::vector<int32_t> blocks_, query_start_, kv_len_, positions_, table_start_, first_block_;
  std::vector<int64_t> slots_;
};

}  // namespace quire::bench

#endif  // QUIRE_BENCH_ATTENTION_PAGED_BATCH_H_
