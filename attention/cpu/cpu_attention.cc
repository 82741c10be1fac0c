#include "attention/cpu/cpu_attention.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "attention/attention_checks.h"
#include "attention/cpu/attention_kernel_table.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "core/cpu/element_type_of.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// Items per thread that keep all threads busy to the end; with fewer, long sequences are cut along
// their keys.
constexpr int64_t kItemsPerThread = 4;

// Of the states that such cuts leave, per thread.
constexpr int64_t kPartialNumbersPerThread = int64_t{1} << 19;

// Elements of the merged row that one task of NormRopeWrite takes: long against a fork.
constexpr int64_t kTaskElements = 8192;

int64_t Bytes(DType dtype) { return static_cast<int64_t>(DTypeBytes(dtype)); }

// How one entry is cut into items: key/value heads x blocks of a group's heads x blocks of queries,
// and, where `splits` is not 0, x splits of the keys.
struct Entry {
  int64_t first_item = 0;
  int64_t queries = 0;
  int64_t item_queries = 0;  // the most of one item
  int64_t first_split = 0;
  int64_t splits = 0;
  int64_t first_partial = 0;  // number in the partials' buffer
  int64_t first_merge = 0;    // counts the items of cut entries
};

class CpuAttention : public Attention {
 public:
  CpuAttention(ThreadPool& pool, CpuIsa isa, const CpuAttentionLimits& limits, DeviceBuffer scratch,
               DeviceBuffer partials)
      : pool_(pool),
        kernels_(AttentionKernelsFor(isa)),
        limits_(limits),
        scratch_(std::move(scratch)),
        partials_(std::move(partials)),
        entries_(limits.max_entries + 1) {}

  void NormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) override {
    CheckNormRopeWrite(params, batch);
    QUIRE_CHECK_LE(params.shape.head_dim, limits_.max_head_dim);
    const int64_t tokens = params.qkv.rows;
    const int64_t per_task = std::max<int64_t>(1, kTaskElements / params.qkv.cols);
    pool_.ParallelFor(CeilDiv(tokens, per_task), [&](int64_t task, int thread) {
      const int64_t begin = task * per_task;
      const KvPageLayout& layout = params.kv.layout;
      NormRopeWriteArgs args;
      args.qkv = static_cast<char*>(params.qkv.data) +
                 begin * params.qkv.row_stride * Bytes(params.qkv.dtype);
      args.qkv_stride = params.qkv.row_stride;
      args.type = ToElementType(params.qkv.dtype);
      args.tokens = std::min(per_task, tokens - begin);
      args.num_heads = params.shape.num_heads;
      args.num_kv_heads = params.shape.num_kv_heads;
      args.head_dim = params.shape.head_dim;
      args.q_norm = params.q_norm;
      args.k_norm = params.k_norm;
      args.norm_eps = params.norm_eps;
      args.rope = {params.rope.cos, params.rope.sin, params.rope.rotary_dim};
      args.rope_rows = batch.rope_rows.data + begin;
      args.slots = batch.slots.data + begin;
      args.pages = static_cast<char*>(params.kv.base);
      args.page_stride_bytes = params.kv.page_stride_bytes;
      args.block_tokens = layout.block_tokens;
      args.cache_type = ToElementType(layout.dtype);
      args.scratch = Scratch(thread);
      kernels_.norm_rope_write(args);
    });
  }

  void Gqa(const GqaParams& params, const AttentionBatch& batch) override {
    CheckGqa(params, batch);
    QUIRE_CHECK_LE(params.shape.head_dim, limits_.max_head_dim);
    QUIRE_CHECK_LE(batch.kv_len.size, limits_.max_entries);
    const int block_tokens = params.kv.layout.block_tokens;
    QUIRE_CHECK(block_tokens == 16 || block_tokens == 32 || block_tokens == 64) << block_tokens;
    const Cut cut = CutBatch(params, batch);
    pool_.ParallelFor(cut.items,
                      [&](int64_t item, int thread) { RunItem(params, batch, cut, item, thread); });
    if (cut.merges > 0) {
      pool_.ParallelFor(cut.merges,
                        [&](int64_t merge, int /*thread*/) { Merge(params, batch, cut, merge); });
    }
  }

  void CopyPages(const PagedKvView& kv,
                 absl::Span<const std::pair<BlockId, BlockId>> pages) override {
    const auto page = [&](BlockId block) {
      return static_cast<char*>(kv.base) + block.value() * kv.page_stride_bytes;
    };
    pool_.ParallelFor(static_cast<int64_t>(pages.size()), [&](int64_t i, int /*thread*/) {
      std::memcpy(page(pages[i].second), page(pages[i].first), kv.layout.page_bytes());
    });
  }

 private:
  // How a batch is cut; `entries_` holds the rest.
  struct Cut {
    int64_t num_entries = 0;
    int64_t head_blocks = 0;  // of a group
    int64_t item_heads = 0;   // the most of one item
    int64_t columns = 0;      // items of one block of queries: kv heads x head blocks
    int64_t items = 0;
    int64_t merges = 0;
  };

  float* Scratch(int thread) const {
    return static_cast<float*>(scratch_.data()) +
           thread * kernels_.gqa_scratch_numbers(limits_.max_head_dim);
  }

  Cut CutBatch(const GqaParams& params, const AttentionBatch& batch) {
    const GqaShape& shape = params.shape;
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
    cut.items = 0;
    int64_t partial_numbers = 0;
    for (int64_t e = 0; e < cut.num_entries; ++e) {
      Entry& entry = entries_[e];
      entry.first_item = cut.items;
      entry.first_merge = cut.merges;
      entry.first_partial = partial_numbers;
      int64_t items = cut.columns * CeilDiv(entry.queries, entry.item_queries);
      if (few && entry.queries == 1) {
        CutKeys(shape, batch.kv_len.data[e], items * PartialNumbers(cut.item_heads, shape.head_dim),
                partial_numbers, entry);
      }
      if (entry.splits > 0) {
        cut.merges += items;
        partial_numbers += entry.splits * items * PartialNumbers(cut.item_heads, shape.head_dim);
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
  void CutKeys(const GqaShape& shape, int64_t kv_len, int64_t state_numbers, int64_t taken,
               Entry& entry) const {
    const int64_t begin = shape.window > 0 ? std::max<int64_t>(0, kv_len - shape.window) : 0;
    const int64_t first = begin / kSplitTokens;
    const int64_t splits = CeilDiv(kv_len, kSplitTokens) - first;
    const auto room = static_cast<int64_t>(partials_.bytes() / sizeof(float));
    if (splits < 2 || taken + splits * state_numbers > room) return;
    entry.first_split = first;
    entry.splits = splits;
  }

  // Item `index` of an entry, splits aside: its key/value head, heads and queries.
  GqaItem MakeItem(const GqaParams& params, const AttentionBatch& batch, const Cut& cut, int64_t e,
                   int64_t index) const {
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
    const int64_t first_col = (kv_head * shape.group() + group_begin) * shape.head_dim;
    const int64_t row = batch.query_start.data[e] + query_begin;
    GqaItem item;
    item.q = static_cast<const char*>(params.qkv.data) +
             (row * params.qkv.row_stride + first_col) * Bytes(params.qkv.dtype);
    item.q_stride = params.qkv.row_stride;
    item.out = static_cast<char*>(params.out.data) +
               (row * params.out.row_stride + first_col) * Bytes(params.out.dtype);
    item.out_stride = params.out.row_stride;
    item.type = ToElementType(params.qkv.dtype);
    item.queries = query_end - query_begin;
    item.heads = group_end - group_begin;
    item.first_position = batch.kv_len.data[e] - entry.queries + query_begin;
    item.window = shape.window;
    item.head_dim = shape.head_dim;
    item.scale = params.scale;
    const int64_t panel_bytes = layout.key_elements() * Bytes(layout.dtype);
    item.kv.keys = static_cast<const char*>(params.kv.base) + kv_head * panel_bytes;
    item.kv.values = item.kv.keys + shape.num_kv_heads * panel_bytes;
    item.kv.page_stride_bytes = params.kv.page_stride_bytes;
    item.kv.block_tokens = layout.block_tokens;
    item.kv.blocks = batch.blocks.data + batch.table_start.data[e];
    item.kv.first_block = batch.first_block.data[e];
    item.kv.type = ToElementType(layout.dtype);
    item.scratch = nullptr;
    return item;
  }

  // The entry that holds item or merge number `number`, by `first` of each entry.
  int64_t FindEntry(const Cut& cut, int64_t Entry::*first, int64_t number) const {
    const auto begin = entries_.begin();
    const auto found =
        std::upper_bound(begin, begin + cut.num_entries, number,
                         [&](int64_t n, const Entry& entry) { return n < entry.*first; });
    return found - begin - 1;
  }

  // The states of an item of a cut entry: [splits] of PartialNumbers.
  float* Partials(const Cut& cut, const GqaItem& item, const Entry& entry, int64_t index) const {
    return static_cast<float*>(partials_.data()) + entry.first_partial +
           index * entry.splits * PartialNumbers(cut.item_heads, item.head_dim);
  }

  void RunItem(const GqaParams& params, const AttentionBatch& batch, const Cut& cut, int64_t number,
               int thread) {
    const int64_t e = FindEntry(cut, &Entry::first_item, number);
    const Entry& entry = entries_[e];
    const int64_t within = number - entry.first_item;
    if (entry.splits == 0) {
      GqaItem item = MakeItem(params, batch, cut, e, within);
      item.scratch = Scratch(thread);
      kernels_.gqa(item);
      return;
    }
    const int64_t index = within / entry.splits;
    const int64_t split = within % entry.splits;
    GqaItem item = MakeItem(params, batch, cut, e, index);
    item.scratch = Scratch(thread);
    const int64_t rows = item.queries * item.heads;
    kernels_.gqa_split(
        item, entry.first_split + split,
        Partials(cut, item, entry, index) + split * PartialNumbers(rows, item.head_dim));
  }

  void Merge(const GqaParams& params, const AttentionBatch& batch, const Cut& cut, int64_t number) {
    const int64_t e = FindEntry(cut, &Entry::first_merge, number);
    const Entry& entry = entries_[e];
    const int64_t index = number - entry.first_merge;
    const GqaItem item = MakeItem(params, batch, cut, e, index);
    kernels_.gqa_merge(item, entry.splits, Partials(cut, item, entry, index));
  }

  ThreadPool& pool_;
  const AttentionKernels& kernels_;
  const CpuAttentionLimits limits_;
  DeviceBuffer scratch_;        // [threads] of gqa_scratch_numbers
  DeviceBuffer partials_;       // states of splits
  std::vector<Entry> entries_;  // of the batch at work, and its end
};

}  // namespace

absl::StatusOr<std::unique_ptr<Attention>> MakeCpuAttention(ThreadPool& pool, DeviceMemory& memory,
                                                            CpuIsa isa,
                                                            const CpuAttentionLimits& limits) {
  const int64_t threads = pool.num_threads();
  const int64_t scratch_numbers =
      threads * AttentionKernelsFor(isa).gqa_scratch_numbers(limits.max_head_dim);
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer scratch,
                         memory.Allocate(scratch_numbers * sizeof(float), "scratch"));
  QUIRE_ASSIGN_OR_RETURN(
      DeviceBuffer partials,
      memory.Allocate(threads * kPartialNumbersPerThread * sizeof(float), "scratch"));
  return std::make_unique<CpuAttention>(pool, isa, limits, std::move(scratch), std::move(partials));
}

}  // namespace quire
