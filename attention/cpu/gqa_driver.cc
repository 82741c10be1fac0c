#include "attention/cpu/gqa_driver.h"

#include <algorithm>

#include "core/ceil_div.h"
#include "core/check.h"
#include "core/cpu/element_type_of.h"

namespace quire {
namespace {

// Items per thread that keep all threads busy to the end; with fewer, long sequences are cut along
// their keys.
constexpr int64_t kItemsPerThread = 4;

// Element [row, col].
const char* At(const DeviceMatrix& m, int64_t row, int64_t col) {
  return static_cast<const char*>(m.data) +
         (row * m.row_stride + col) * static_cast<int64_t>(DTypeBytes(m.dtype));
}

// The rules of heads from `head` on for rows from `row` on.
ScoreKeysArgs MakeScoreArgs(const ScoreRules& rules, int64_t head, int64_t row) {
  ScoreKeysArgs args;
  args.softcap = rules.softcap;
  if (rules.alibi_slopes != nullptr) args.alibi_slopes = rules.alibi_slopes + head;
  if (rules.sink_logits != nullptr) args.sink_logits = rules.sink_logits + head;
  if (rules.bias.data != nullptr) {
    args.bias = rules.bias.data + head * rules.bias.head_stride + row * rules.bias.row_stride;
    args.bias_head_stride = rules.bias.head_stride;
    args.bias_row_stride = rules.bias.row_stride;
  }
  return args;
}

}  // namespace

GqaDriver::GqaDriver(ThreadPool& pool, const AttentionKernels& kernels, int64_t max_entries,
                     float* scratch, int64_t scratch_numbers, float* partials,
                     int64_t partial_numbers)
    : pool_(pool),
      kernels_(kernels),
      scratch_(scratch),
      scratch_numbers_(scratch_numbers),
      partials_(partials),
      partial_numbers_(partial_numbers),
      entries_(max_entries + 1) {}

void GqaDriver::Run(const GqaProblem& problem) {
  QUIRE_CHECK_LT(problem.batch.kv_len.size, static_cast<int64_t>(entries_.size()));
  const int block_tokens = problem.params.kv.layout.block_tokens;
  QUIRE_CHECK(block_tokens == 16 || block_tokens == 32 || block_tokens == 64) << block_tokens;
  const Cut cut = CutBatch(problem);
  pool_.ParallelFor(cut.items,
                    [&](int64_t item, int thread) { RunItem(problem, cut, item, thread); });
  if (cut.merges > 0) {
    pool_.ParallelFor(cut.merges,
                      [&](int64_t merge, int /*thread*/) { Merge(problem, cut, merge); });
  }
}

GqaDriver::Cut GqaDriver::CutBatch(const GqaProblem& problem) {
  const GqaShape& shape = problem.params.shape;
  const AttentionBatch& batch = problem.batch;
  Cut cut;
  cut.num_entries = batch.kv_len.size;
  cut.head_blocks = CeilDiv(shape.group(), kItemRows);
  cut.item_heads = CeilDiv(shape.group(), cut.head_blocks);
  cut.columns = shape.num_kv_heads * cut.head_blocks;
  for (int64_t e = 0; e < cut.num_entries; ++e) {
    Entry& entry = entries_[e];
    entry = Entry();
    entry.queries = batch.query_start.data[e + 1] - batch.query_start.data[e];
    entry.item_queries = std::max<int64_t>(1, kItemRows / cut.item_heads);
    cut.items += cut.columns * CeilDiv(entry.queries, entry.item_queries);
  }
  const bool few = pool_.num_threads() > 1 && cut.items < kItemsPerThread * pool_.num_threads();
  const int64_t state_numbers = PartialNumbers(cut.item_heads, shape.value_dim);
  cut.items = 0;
  int64_t partial_numbers = 0;
  for (int64_t e = 0; e < cut.num_entries; ++e) {
    Entry& entry = entries_[e];
    entry.first_item = cut.items;
    entry.first_merge = cut.merges;
    entry.first_partial = partial_numbers;
    int64_t items = cut.columns * CeilDiv(entry.queries, entry.item_queries);
    if (few && entry.queries == 1) {
      CutKeys(problem, batch.kv_len.data[e], items * state_numbers, partial_numbers, entry);
    }
    if (entry.splits > 0) {
      cut.merges += items;
      partial_numbers += entry.splits * items * state_numbers;
      items *= entry.splits;
    }
    cut.items += items;
  }
  entries_[cut.num_entries] = Entry();
  entries_[cut.num_entries].first_item = cut.items;
  entries_[cut.num_entries].first_merge = cut.merges;
  return cut;
}

// Cuts one decoded row along its keys where they span splits and the states of those fit.
void GqaDriver::CutKeys(const GqaProblem& problem, int64_t kv_len, int64_t state_numbers,
                        int64_t taken, Entry& entry) const {
  const KvPrefix& prefix = problem.params.prefix;
  const int64_t least = prefix.shared ? 0 : prefix.tokens;
  const int64_t begin = std::max<int64_t>(least, kv_len - 1 - problem.before);
  const int64_t first = begin / kSplitTokens;
  const int64_t splits = CeilDiv(kv_len, kSplitTokens) - first + (prefix.tokens > 0 ? 1 : 0);
  if (splits < 2 || taken + splits * state_numbers > partial_numbers_) return;
  entry.first_split = first;
  entry.splits = splits;
}

// Item `index` of an entry, splits aside: its key/value head, heads and queries.
GqaItem GqaDriver::MakeItem(const GqaProblem& problem, const Cut& cut, int64_t e,
                            int64_t index) const {
  const GqaParams& params = problem.params;
  const AttentionBatch& batch = problem.batch;
  const GqaShape& shape = params.shape;
  const KvPageLayout& layout = params.kv.layout;
  const Entry& entry = entries_[e];
  const int64_t blocks = CeilDiv(entry.queries, entry.item_queries);
  const int64_t column = index % cut.columns;
  const int64_t block = blocks - 1 - index / cut.columns;  // the longest come first
  const int64_t kv_head = column / cut.head_blocks;
  const int64_t head_block = column % cut.head_blocks;
  const int64_t group_begin = shape.group() * head_block / cut.head_blocks;
  const int64_t group_end = shape.group() * (head_block + 1) / cut.head_blocks;
  const int64_t query_begin = entry.queries * block / blocks;
  const int64_t query_end = entry.queries * (block + 1) / blocks;
  const int64_t head = kv_head * shape.group() + group_begin;
  const int64_t row = batch.query_start.data[e] + query_begin;
  GqaItem item;
  item.q = At(params.qkv, row, head * shape.head_dim);
  item.q_stride = params.qkv.row_stride;
  item.out = const_cast<char*>(At(params.out, row, head * shape.value_dim));
  item.out_stride = params.out.row_stride;
  item.type = ToElementType(params.qkv.dtype);
  item.queries = query_end - query_begin;
  item.heads = group_end - group_begin;
  item.first_position = batch.kv_len.data[e] - entry.queries + query_begin;
  item.before = problem.before;
  item.after = problem.after;
  item.kv_len = batch.kv_len.data[e];
  item.head_dim = shape.head_dim;
  item.value_dim = shape.value_dim;
  item.scale = params.scale;
  item.scores = MakeScoreArgs(params.scores, head, row);
  const auto bytes = static_cast<int64_t>(DTypeBytes(layout.dtype));
  const auto* base = static_cast<const char*>(params.kv.base);
  item.kv.keys = base + kv_head * layout.key_elements() * bytes;
  item.kv.values = base + (layout.values_begin() + kv_head * layout.value_elements()) * bytes;
  item.kv.page_stride_bytes = params.kv.page_stride_bytes;
  item.kv.block_tokens = layout.block_tokens;
  item.kv.blocks = batch.blocks.data + batch.table_start.data[e];
  item.kv.first_block = batch.first_block.data[e];
  item.kv.type = ToElementType(layout.dtype);
  if (params.prefix.tokens > 0) {
    const KvPrefix& prefix = params.prefix;
    item.prefix.tokens = prefix.tokens;
    item.prefix.shared = prefix.shared;
    item.prefix.blocks =
        prefix.shared ? prefix.blocks.data : batch.prefix_blocks.data + batch.prefix_start.data[e];
    if (prefix.q2.data != nullptr) item.prefix.q2 = At(prefix.q2, row, head * shape.head_dim);
    item.prefix.q2_stride = prefix.q2.row_stride;
  }
  item.scratch = nullptr;
  return item;
}

// The entry that holds item or merge number `number`, by `first` of each entry.
int64_t GqaDriver::FindEntry(const Cut& cut, int64_t Entry::*first, int64_t number) const {
  const auto begin = entries_.begin();
  const auto found =
      std::upper_bound(begin, begin + cut.num_entries, number,
                       [&](int64_t n, const Entry& entry) { return n < entry.*first; });
  return found - begin - 1;
}

// The states of an item of a cut entry: [splits] of PartialNumbers.
float* GqaDriver::Partials(const Cut& cut, const GqaItem& item, const Entry& entry,
                           int64_t index) const {
  return partials_ + entry.first_partial +
         index * entry.splits * PartialNumbers(cut.item_heads, item.value_dim);
}

void GqaDriver::RunItem(const GqaProblem& problem, const Cut& cut, int64_t number, int thread) {
  const int64_t e = FindEntry(cut, &Entry::first_item, number);
  const Entry& entry = entries_[e];
  const int64_t within = number - entry.first_item;
  const bool whole = entry.splits == 0;
  const int64_t index = whole ? within : within / entry.splits;
  GqaItem item = MakeItem(problem, cut, e, index);
  item.scratch = scratch_ + thread * scratch_numbers_;
  if (whole) return kernels_.gqa(item);
  const int64_t state = within % entry.splits;
  const bool prefix = item.prefix.tokens > 0;
  const int64_t split =
      prefix && state == 0 ? kPrefixSplit : entry.first_split + state - (prefix ? 1 : 0);
  const int64_t numbers = PartialNumbers(item.queries * item.heads, item.value_dim);
  kernels_.gqa_split(item, split, Partials(cut, item, entry, index) + state * numbers);
}

void GqaDriver::Merge(const GqaProblem& problem, const Cut& cut, int64_t number) {
  const int64_t e = FindEntry(cut, &Entry::first_merge, number);
  const Entry& entry = entries_[e];
  const int64_t index = number - entry.first_merge;
  const GqaItem item = MakeItem(problem, cut, e, index);
  float* states = Partials(cut, item, entry, index);
  kernels_.gqa_merge(item, states, entry.splits - 1,
                     states + PartialNumbers(item.queries * item.heads, item.value_dim));
}

}  // namespace quire
