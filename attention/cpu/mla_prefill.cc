#include "attention/cpu/mla_prefill.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "attention/cpu/element_at.h"
#include "attention/mla_checks.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "core/cpu/element_type_of.h"
#include "core/status_macros.h"

namespace quire {
// Where the parts of buffer_ begin, in bytes.
struct MlaPrefill::Layout {
  int64_t scratch_numbers;
  int64_t states;
  int64_t latent;
  int64_t expanded;
  int64_t pages;
  int64_t end;

  Layout(const MlaLimits& limits, int threads, CpuIsa isa) {
    const MlaShape& shape = limits.shape;
    const auto element = static_cast<int64_t>(DTypeBytes(limits.cache_dtype));
    int64_t at = 0;
    const auto take = [&at](int64_t bytes) {
      const int64_t begin = at;
      at += CeilDiv(bytes, 64) * 64;
      return begin;
    };
    scratch_numbers =
        AttentionKernelsFor(isa).gqa_scratch_numbers(shape.head_dim(), shape.value_dim) +
        PartialNumbers(kItemRows, shape.value_dim);
    take(threads * scratch_numbers * int64_t{sizeof(float)});
    states = take(PartialNumbers(limits.max_rows * shape.num_heads, shape.value_dim) *
                  int64_t{sizeof(float)});
    latent = take(kSplitTokens * shape.cache_dim() * element);
    expanded = take(kSplitTokens * shape.expanded_width() * element);
    pages = take(kPages * static_cast<int64_t>(PageLayout(limits).page_bytes()));
    end = at;
  }
};

KvPageLayout MlaPrefill::PageLayout(const MlaLimits& limits) {
  return {.num_kv_heads = limits.shape.num_heads,
          .head_dim = limits.shape.head_dim(),
          .value_dim = limits.shape.value_dim,
          .block_tokens = kPageTokens,
          .dtype = limits.cache_dtype};
}

int64_t MlaPrefill::Bytes(const MlaLimits& limits, int threads, CpuIsa isa) {
  return Layout(limits, threads, isa).end;
}

absl::StatusOr<std::unique_ptr<MlaPrefill>> MlaPrefill::Create(ThreadPool& pool,
                                                               DeviceMemory& memory, CpuIsa isa,
                                                               const MlaLimits& limits) {
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                         memory.Allocate(Bytes(limits, pool.num_threads(), isa), "workspace"));
  return std::unique_ptr<MlaPrefill>(new MlaPrefill(pool, isa, limits, std::move(buffer)));
}

MlaPrefill::MlaPrefill(ThreadPool& pool, CpuIsa isa, const MlaLimits& limits, DeviceBuffer buffer)
    : pool_(pool),
      kernels_(MlaKernelsFor(isa)),
      gqa_kernels_(AttentionKernelsFor(isa)),
      limits_(limits),
      layout_(PageLayout(limits)),
      buffer_(std::move(buffer)) {
  const Layout layout(limits, pool.num_threads(), isa);
  auto* base = static_cast<char*>(buffer_.data());
  const auto matrix = [&](int64_t begin, int64_t cols) {
    return DeviceMatrix{base + begin, limits.cache_dtype, kSplitTokens, cols, cols};
  };
  scratch_ = reinterpret_cast<float*>(base);
  scratch_numbers_ = layout.scratch_numbers;
  states_ = reinterpret_cast<float*>(base + layout.states);
  latent_ = matrix(layout.latent, limits.shape.cache_dim());
  expanded_ = matrix(layout.expanded, limits.shape.expanded_width());
  pages_ = base + layout.pages;
  std::iota(page_ids_.begin(), page_ids_.end(), 0);
}

void MlaPrefill::Run(const MlaPrefillParams& params, const AttentionBatch& batch,
                     MlaExpand expand) {
  const Call call{params, batch};
  chunk_ = Chunk();
  for (int64_t e = MlaEntryOfRow(batch, params.first_row); e < batch.kv_len.size; ++e) {
    if (batch.query_start.data[e + 1] == batch.query_start.data[e]) continue;
    for (int64_t split = 0; split * kSplitTokens < batch.kv_len.data[e]; ++split) {
      const int64_t keys = std::min(kSplitTokens, batch.kv_len.data[e] - split * kSplitTokens);
      if (chunk_.pages + CeilDiv(keys, kPageTokens) > kPages) RunChunk(call, expand);
      AddPiece(batch, e, split, keys);
    }
  }
  RunChunk(call, expand);
}

void MlaPrefill::AddPiece(const AttentionBatch& batch, int64_t entry, int64_t split, int64_t keys) {
  const int64_t queries = batch.query_start.data[entry + 1] - batch.query_start.data[entry];
  Piece& piece = chunk_.pieces[chunk_.num_pieces++];
  piece.entry = entry;
  piece.split = split;
  piece.keys = keys;
  piece.first_page = chunk_.pages;
  piece.first_row = chunk_.rows;
  piece.first_item = chunk_.items;
  piece.query_blocks = CeilDiv(queries, kItemRows);
  chunk_.pages += CeilDiv(keys, kPageTokens);
  chunk_.rows += keys;
  chunk_.items += piece.query_blocks * limits_.shape.num_heads;
}

// Cache rows -> rows of a matrix -> keys and values of all heads -> pages -> attention.
void MlaPrefill::RunChunk(const Call& call, MlaExpand expand) {
  if (chunk_.num_pieces == 0) return;
  const MlaShape& shape = limits_.shape;
  pool_.ParallelFor(chunk_.num_pieces * kPages,
                    [&](int64_t task, int /*thread*/) { GatherPages(call, task); });
  DeviceMatrix latent = latent_.Rows(0, chunk_.rows);
  latent.cols = shape.latent_dim;
  expand(latent, expanded_.Rows(0, chunk_.rows));
  pool_.ParallelFor(chunk_.pages * shape.num_heads, [&](int64_t task, int /*thread*/) {
    ExpandPage(task / shape.num_heads, static_cast<int>(task % shape.num_heads));
  });
  pool_.ParallelFor(chunk_.items, [&](int64_t item, int thread) { Attend(call, item, thread); });
  chunk_ = Chunk();
}

// Cache rows of piece task / kPages: kPageTokens of them from task % kPages on, which are one page
// of the cache or several.
void MlaPrefill::GatherPages(const Call& call, int64_t task) const {
  const PagedKvView& kv = call.params.kv;
  const Piece& piece = chunk_.pieces[task / kPages];
  const int64_t block_tokens = kv.layout.block_tokens;
  const int64_t begin = task % kPages * kPageTokens;
  const int64_t end = std::min(piece.keys, begin + kPageTokens);
  const int32_t* blocks = call.batch.blocks.data + call.batch.table_start.data[piece.entry];
  GatherLatentsArgs args;
  args.block_tokens = block_tokens;
  args.type = ToElementType(kv.layout.dtype);
  args.dim = kv.layout.head_dim;
  args.out_stride = latent_.row_stride;
  for (int64_t key = begin; key < end; key += block_tokens) {
    const int64_t block = blocks[(piece.split * kSplitTokens + key) / block_tokens];
    args.keys = static_cast<const char*>(kv.base) + block * kv.page_stride_bytes;
    args.tokens = std::min(block_tokens, end - key);
    args.out = ElementAt(latent_, piece.first_row + key, 0);
    kernels_.gather(args);
  }
}

void MlaPrefill::ExpandPage(int64_t page, int head) const {
  const MlaShape& shape = limits_.shape;
  const Piece* piece = chunk_.pieces.data();
  while (page >= piece->first_page + CeilDiv(piece->keys, kPageTokens)) ++piece;
  const int64_t key = (page - piece->first_page) * kPageTokens;
  const int64_t row = piece->first_row + key;
  char* base = pages_ + page * static_cast<int64_t>(layout_.page_bytes());
  const auto element = static_cast<int64_t>(DTypeBytes(layout_.dtype));
  MlaExpandArgs args;
  args.kv = ElementAt(expanded_, row, int64_t{head} * (shape.nope_dim + shape.value_dim));
  args.kv_stride = expanded_.row_stride;
  args.k_rope = ElementAt(latent_, row, shape.key_rope_begin(head));
  args.k_rope_stride = latent_.row_stride;
  args.type = ToElementType(layout_.dtype);
  args.tokens = std::min(kPageTokens, piece->keys - key);
  args.nope_dim = shape.nope_dim;
  args.rope_dim = shape.rope_dim;
  args.value_dim = shape.value_dim;
  args.nope_begin = shape.nope_begin();
  args.rope_begin = shape.rope_begin();
  args.keys = base + layout_.KeyOffset(head, 0, 0) * element;
  args.values = base + layout_.ValueOffset(head, 0, 0) * element;
  args.block_tokens = kPageTokens;
  kernels_.expand(args);
}

// Item `number` of the chunk: a head and some queries of a piece's entry.
void MlaPrefill::Attend(const Call& call, int64_t number, int thread) const {
  const MlaShape& shape = limits_.shape;
  const MlaPrefillParams& params = call.params;
  const Piece* piece = chunk_.pieces.data() + chunk_.num_pieces - 1;
  while (number < piece->first_item) --piece;
  const int64_t index = number - piece->first_item;
  const int64_t head = index / piece->query_blocks;
  const int64_t block = index % piece->query_blocks;
  const int64_t first_row = call.batch.query_start.data[piece->entry];
  const int64_t queries = call.batch.query_start.data[piece->entry + 1] - first_row;
  const int64_t kv_len = call.batch.kv_len.data[piece->entry];
  const int64_t begin = queries * block / piece->query_blocks;
  const int64_t end = queries * (block + 1) / piece->query_blocks;
  if (kv_len - queries + end <= piece->split * kSplitTokens) return;  // sees none of the piece
  GqaItem item;
  item.q = ElementAt(params.q, first_row + begin, head * shape.head_dim());
  item.q_stride = params.q.row_stride;
  item.out = ElementAt(params.out, first_row + begin, head * shape.value_dim);
  item.out_stride = params.out.row_stride;
  item.type = ToElementType(params.q.dtype);
  item.queries = end - begin;
  item.heads = 1;
  item.first_position = kv_len - queries + begin;
  item.kv_len = kv_len;
  item.head_dim = shape.head_dim();
  item.value_dim = shape.value_dim;
  item.scale = params.scale;
  const auto element = static_cast<int64_t>(DTypeBytes(layout_.dtype));
  const auto h = static_cast<int>(head);
  item.kv.keys = pages_ + layout_.KeyOffset(h, 0, 0) * element;
  item.kv.values = pages_ + layout_.ValueOffset(h, 0, 0) * element;
  item.kv.page_stride_bytes = static_cast<int64_t>(layout_.page_bytes());
  item.kv.block_tokens = kPageTokens;
  item.kv.blocks = page_ids_.data() + piece->first_page;
  item.kv.first_block = piece->split * kPages;
  item.kv.type = ToElementType(layout_.dtype);
  item.scratch = scratch_ + thread * scratch_numbers_;
  float* total = states_ + PartialNumbers(first_row * shape.num_heads + head * queries + begin,
                                          shape.value_dim);
  if (piece->split == 0) {
    gqa_kernels_.gqa_split(item, 0, total);
    gqa_kernels_.gqa_merge(item, total, 0, nullptr);
    return;
  }
  float* partial = item.scratch + scratch_numbers_ - PartialNumbers(kItemRows, shape.value_dim);
  gqa_kernels_.gqa_split(item, piece->split, partial);
  gqa_kernels_.gqa_merge(item, total, 1, partial);
}

}  // namespace quire
