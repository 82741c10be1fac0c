#include "tests/testing/paged_kv.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "core/check.h"
#include "core/elements.h"

namespace quire::testing {
namespace {

constexpr int32_t kWildIds[] = {-1, 0x7fffffff, -2147483647 - 1, 123456789};
constexpr int64_t kGapBytes = 192;  // between pages of a layer: other layers in a real pool

template <typename T>
DeviceArray<const T> View(const std::vector<T>& values) {
  return {values.data(), static_cast<int64_t>(values.size())};
}

}  // namespace

PagedKv::PagedKv(const GqaShape& shape, int block_tokens, DType cache_dtype,
                 const std::vector<KvEntry>& entries, uint32_t seed, bool drop_old_pages,
                 PrefixSpec prefix)
    : shape_(shape), prefix_(prefix) {
  view_.layout = {shape.num_kv_heads, shape.head_dim, shape.value_dim, block_tokens, cache_dtype};
  view_.page_stride_bytes = static_cast<int64_t>(view_.layout.page_bytes()) + kGapBytes;
  query_start_ = {0};
  table_start_ = {0};
  prefix_start_ = {0};
  int32_t num_blocks = 3 + (prefix.shared ? Pages(prefix.tokens) : 0);  // 3 are nobody's
  for (const KvEntry& entry : entries) num_blocks += Pages(entry.kv_tokens);
  std::vector<int32_t> free(num_blocks);
  std::iota(free.begin(), free.end(), 0);
  std::mt19937 random(seed);
  std::shuffle(free.begin(), free.end(), random);
  if (prefix.shared) {
    for (int32_t page = 0; page < Pages(prefix.tokens); ++page) {
      prefix_blocks_.push_back(free.back());
      free.pop_back();
    }
  }
  for (const KvEntry& entry : entries) {
    QUIRE_CHECK_LE(entry.query_tokens, entry.kv_tokens);
    query_start_.push_back(query_start_.back() + entry.query_tokens);
    kv_len_.push_back(entry.kv_tokens);
    const int64_t e = num_entries() - 1;
    AddTable(e, drop_old_pages, free);
    for (int32_t p = entry.kv_tokens - entry.query_tokens; p < entry.kv_tokens; ++p) {
      positions_.push_back(p);
      slots_.push_back(int64_t{BlockOf(e, p)} * block_tokens + p % block_tokens);
    }
  }
  // Exactly the pages' bytes, so that AddressSanitizer sees a step over the end. 0xff is NaN in
  // bf16 and fp32.
  pool_.assign((num_blocks - 1) * view_.page_stride_bytes + view_.layout.page_bytes(), 0xff);
  view_.base = pool_.data();
  view_.num_blocks = num_blocks;
}

void PagedKv::AddTable(int64_t e, bool drop_old_pages, std::vector<int32_t>& free) {
  const int32_t pages = Pages(kv_len_[e]);
  const auto first_seen = static_cast<int32_t>(FirstSeen(e) / view_.layout.block_tokens);
  const int32_t prefix_pages =
      prefix_.shared ? 0 : Pages(std::min<int64_t>(prefix_.tokens, kv_len_[e]));
  first_block_.push_back(drop_old_pages ? first_seen : 0);
  for (int32_t page = 0; page < pages; ++page) {
    const bool seen = page >= first_seen;
    int32_t block = kWildIds[page % 4];
    if (seen || page < prefix_pages) {
      block = free.back();
      free.pop_back();
    }
    if (page < prefix_pages) prefix_blocks_.push_back(block);
    if (page >= first_block_.back()) blocks_.push_back(seen ? block : kWildIds[page % 4]);
  }
  // Pages reserved ahead that no row sees yet.
  blocks_.push_back(kWildIds[e % 4]);
  table_start_.push_back(static_cast<int32_t>(blocks_.size()));
  prefix_start_.push_back(static_cast<int32_t>(prefix_blocks_.size()));
}

AttentionBatch PagedKv::batch() const {
  return {View(query_start_),
          View(kv_len_),
          View(positions_),
          View(positions_),
          View(slots_),
          View(table_start_),
          View(first_block_),
          View(blocks_),
          View(prefix_start_),
          View(prefix_blocks_),
          {}};
}

KvPrefix PagedKv::prefix() const {
  KvPrefix prefix;
  prefix.tokens = prefix_.tokens;
  prefix.shared = prefix_.shared;
  if (prefix_.shared) prefix.blocks = View(prefix_blocks_);
  return prefix;
}

AttentionBatch PagedKv::Slice(int64_t e, int32_t begin, int32_t end, SliceStorage& storage) const {
  const int32_t first_row = query_start_[e] + begin;
  const int32_t rows = end - begin;
  const int32_t last_position = positions_[first_row + rows - 1];
  storage.query_start = {0, rows};
  storage.kv_len = {last_position + 1};
  storage.table_start = {0, table_start_[e + 1] - table_start_[e]};
  storage.first_block = {first_block_[e]};
  storage.prefix_start = {0, prefix_start_[e + 1] - prefix_start_[e]};
  return {View(storage.query_start),
          View(storage.kv_len),
          {positions_.data() + first_row, rows},
          {positions_.data() + first_row, rows},
          {slots_.data() + first_row, rows},
          View(storage.table_start),
          View(storage.first_block),
          {blocks_.data() + table_start_[e], storage.table_start[1]},
          View(storage.prefix_start),
          {prefix_blocks_.data() + prefix_start_[e], storage.prefix_start[1]},
          {}};
}

int32_t PagedKv::Pages(int64_t tokens) const {
  return static_cast<int32_t>((tokens + view_.layout.block_tokens - 1) / view_.layout.block_tokens);
}

int64_t PagedKv::FirstSeen(int64_t e) const {
  const int64_t query_tokens = query_start_[e + 1] - query_start_[e];
  const int64_t first_position = kv_len_[e] - query_tokens;
  const int64_t least = prefix_.shared ? 0 : prefix_.tokens;
  return shape_.window > 0 ? std::max(least, first_position - shape_.window + 1) : least;
}

int32_t PagedKv::BlockOf(int64_t e, int64_t position) const {
  const int64_t page = position / view_.layout.block_tokens;
  if (!prefix_.shared && page < prefix_start_[e + 1] - prefix_start_[e]) {
    return prefix_blocks_[prefix_start_[e] + page];
  }
  return blocks_[table_start_[e] + page - first_block_[e]];
}

void PagedKv::SetElement(int32_t block, int64_t offset, float value) {
  StoreElement(pool_.data() + block * view_.page_stride_bytes, view_.layout.dtype, offset, value);
}

void PagedKv::SetKey(int64_t e, int64_t position, int head, int d, float value) {
  const int token = static_cast<int>(position % view_.layout.block_tokens);
  SetElement(BlockOf(e, position), view_.layout.KeyOffset(head, token, d), value);
}

void PagedKv::SetValue(int64_t e, int64_t position, int head, int d, float value) {
  const int token = static_cast<int>(position % view_.layout.block_tokens);
  SetElement(BlockOf(e, position), view_.layout.ValueOffset(head, token, d), value);
}

template <typename Random>
void PagedKv::FillToken(int32_t block, int64_t position, Random random) {
  const int token = static_cast<int>(position % view_.layout.block_tokens);
  for (int head = 0; head < shape_.num_kv_heads; ++head) {
    for (int d = 0; d < shape_.head_dim; ++d) {
      SetElement(block, view_.layout.KeyOffset(head, token, d), random());
    }
    for (int d = 0; d < shape_.value_dim; ++d) {
      SetElement(block, view_.layout.ValueOffset(head, token, d), random());
    }
  }
}

void PagedKv::FillNormal(uint32_t seed) {
  std::mt19937 bits(seed);
  std::normal_distribution<float> normal;
  const auto random = [&] { return normal(bits); };
  const int block_tokens = view_.layout.block_tokens;
  if (prefix_.shared) {
    for (int64_t j = 0; j < prefix_.tokens; ++j) {
      FillToken(prefix_blocks_[j / block_tokens], j, random);
    }
  }
  for (int64_t e = 0; e < num_entries(); ++e) {
    const int64_t own = prefix_.shared ? 0 : std::min<int64_t>(prefix_.tokens, kv_len_[e]);
    for (int64_t position = 0; position < own; ++position) {
      FillToken(BlockOf(e, position), position, random);
    }
    for (int64_t position = FirstSeen(e); position < kv_len_[e]; ++position) {
      FillToken(BlockOf(e, position), position, random);
    }
  }
}

RopeTables::RopeTables(int64_t num_rows, int rotary_dim, double theta)
    : num_rows_(num_rows), rotary_dim_(rotary_dim) {
  for (int64_t p = 0; p < num_rows; ++p) {
    for (int i = 0; i < rotary_dim / 2; ++i) {
      const double angle = static_cast<double>(p) * std::pow(theta, -2.0 * i / rotary_dim);
      cos_.push_back(static_cast<float>(std::cos(angle)));
      sin_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

RopeTable RopeTables::view() const { return {cos_.data(), sin_.data(), num_rows_, rotary_dim_}; }

}  // namespace quire::testing
