#include "attention/cpu/cpu_attention.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "attention/attention_checks.h"
#include "attention/cpu/attention_kernel_table.h"
#include "attention/cpu/gqa_driver.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "core/cpu/element_type_of.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// Elements of the merged row that one task of NormRopeWrite takes: long against a fork.
constexpr int64_t kTaskElements = 8192;

// The pages that an encoder's keys and values are packed into, as tiles like them best.
constexpr int kEncoderBlockTokens = 64;

// Pages beyond those of the longest sequence: short ones share a wave, each with a page begun.
constexpr int64_t kSpareEncoderPages = 64;

int64_t Bytes(DType dtype) { return static_cast<int64_t>(DTypeBytes(dtype)); }

HeadNormKind ToNormKind(QkNorm norm) {
  switch (norm) {
    case QkNorm::kNone:
      return HeadNormKind::kNone;
    case QkNorm::kPerHead:
      return HeadNormKind::kRmsPerHead;
    case QkNorm::kFullWidth:
      return HeadNormKind::kRmsFullWidth;
    case QkNorm::kPerHeadLayerNorm:
      return HeadNormKind::kLayerPerHead;
  }
  return HeadNormKind::kNone;
}

KvPages ToKvPages(const PagedKvView& kv) {
  KvPages pages;
  pages.base = static_cast<char*>(kv.base);
  pages.page_stride_bytes = kv.page_stride_bytes;
  pages.block_tokens = kv.layout.block_tokens;
  pages.type = ToElementType(kv.layout.dtype);
  return pages;
}

// Sequences that an encoder's scratch pages hold at once, as a batch over those pages.
struct EncoderWave {
  int64_t first_row = 0;  // of the batch
  std::vector<int32_t> query_start, kv_len, table_start, first_block, blocks;

  // `pages` pages, of which sequence s has [table_start[s], table_start[s + 1]).
  EncoderWave(int64_t max_entries, int64_t pages) : first_block(max_entries, 0), blocks(pages) {
    query_start.reserve(max_entries + 1);
    kv_len.reserve(max_entries);
    table_start.reserve(max_entries + 1);
    std::iota(blocks.begin(), blocks.end(), 0);
  }

  // Takes the sequences from `begin` on that fit; returns the first that does not.
  int64_t Fill(DeviceArray<const int32_t> starts, int64_t begin) {
    first_row = starts.data[begin];
    query_start.assign(1, 0);
    table_start.assign(1, 0);
    kv_len.clear();
    int64_t s = begin;
    for (; s + 1 < starts.size; ++s) {
      const int32_t tokens = starts.data[s + 1] - starts.data[s];
      const int64_t end = table_start.back() + CeilDiv(tokens, kEncoderBlockTokens);
      if (end > static_cast<int64_t>(blocks.size())) break;
      query_start.push_back(query_start.back() + tokens);
      kv_len.push_back(tokens);
      table_start.push_back(static_cast<int32_t>(end));
    }
    QUIRE_CHECK_GT(s, begin) << "a sequence is longer than encoder_tokens";
    return s;
  }

  AttentionBatch batch() const {
    AttentionBatch view;
    view.query_start = {query_start.data(), static_cast<int64_t>(query_start.size())};
    view.kv_len = {kv_len.data(), static_cast<int64_t>(kv_len.size())};
    view.table_start = {table_start.data(), static_cast<int64_t>(table_start.size())};
    view.first_block = {first_block.data(), view.kv_len.size};
    view.blocks = {blocks.data(), table_start.back()};
    return view;
  }
};

class CpuAttention : public Attention {
 public:
  CpuAttention(ThreadPool& pool, CpuIsa isa, const CpuAttentionLimits& limits,
               int64_t scratch_numbers, DeviceBuffer scratch, DeviceBuffer partials,
               DeviceBuffer encoder_pages)
      : pool_(pool),
        kernels_(AttentionKernelsFor(isa)),
        limits_(limits),
        scratch_numbers_(scratch_numbers),
        scratch_(std::move(scratch)),
        partials_(std::move(partials)),
        encoder_pages_(std::move(encoder_pages)),
        driver_(pool, kernels_, limits.max_entries, Scratch(0), scratch_numbers,
                static_cast<float*>(partials_.data()),
                static_cast<int64_t>(partials_.bytes() / sizeof(float))),
        wave_(limits.max_entries, EncoderPages(limits)) {}

  static int64_t EncoderPages(const CpuAttentionLimits& limits) {
    if (limits.encoder_tokens == 0) return 0;
    return CeilDiv(limits.encoder_tokens, kEncoderBlockTokens) + kSpareEncoderPages;
  }

  void NormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) override {
    CheckNormRopeWrite(params, batch);
    RunNormRope(params, batch.rope_rows, batch.rope_rows2, batch.slots.data);
  }

  void NormRope(const NormRopeWriteParams& params, DeviceArray<const int32_t> rope_rows) override {
    CheckNormRope(params, rope_rows);
    NormRopeWriteParams once = params;
    once.q2 = {};
    RunNormRope(once, rope_rows, {}, nullptr);
  }

  void Gqa(const GqaParams& params, const AttentionBatch& batch) override {
    CheckGqa(params, batch);
    CheckLimits(params.shape);
    const int window = params.shape.window;
    driver_.Run({params, batch, window > 0 ? window - 1 : kAllKeys, 0});
  }

  void Encode(const EncoderParams& params, DeviceArray<const int32_t> query_start) override {
    CheckEncode(params, query_start);
    CheckLimits(params.shape);
    QUIRE_CHECK_LE(query_start.size - 1, limits_.max_entries);
    const GqaShape& shape = params.shape;
    GqaParams wave{params.qkv, params.out, shape, params.scale, {}, params.scores, {}};
    wave.kv.layout = {shape.num_kv_heads, shape.head_dim, shape.value_dim, kEncoderBlockTokens,
                      params.qkv.dtype};
    wave.kv.base = encoder_pages_.data();
    wave.kv.page_stride_bytes = static_cast<int64_t>(wave.kv.layout.page_bytes());
    wave.kv.num_blocks = static_cast<int64_t>(wave_.blocks.size());
    QUIRE_CHECK_LE(static_cast<int64_t>(wave.kv.layout.token_bytes()), limits_.encoder_token_bytes);
    const int64_t around = shape.window > 0 ? shape.window / 2 : kAllKeys;
    for (int64_t s = 0; s + 1 < query_start.size;) {
      s = wave_.Fill(query_start, s);
      const int64_t rows = wave_.query_start.back();
      wave.qkv = params.qkv.Rows(wave_.first_row, rows);
      wave.out = params.out.Rows(wave_.first_row, rows);
      if (params.scores.bias.data != nullptr) {
        wave.scores.bias.data =
            params.scores.bias.data + wave_.first_row * params.scores.bias.row_stride;
      }
      PackWave(wave);
      driver_.Run({wave, wave_.batch(), around, around});
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
  float* Scratch(int thread) const {
    return static_cast<float*>(scratch_.data()) + thread * scratch_numbers_;
  }

  void CheckLimits(const GqaShape& shape) const {
    QUIRE_CHECK_LE(shape.head_dim, limits_.max_head_dim);
    QUIRE_CHECK_LE(shape.value_dim, limits_.max_value_dim);
  }

  void RunNormRope(const NormRopeWriteParams& params, DeviceArray<const int32_t> rope_rows,
                   DeviceArray<const int32_t> rope_rows2, const int64_t* slots) {
    CheckLimits(params.shape);
    const int64_t tokens = params.qkv.rows;
    const int64_t per_task = std::max<int64_t>(1, kTaskElements / params.qkv.cols);
    pool_.ParallelFor(CeilDiv(tokens, per_task), [&](int64_t task, int thread) {
      const int64_t begin = task * per_task;
      const GqaShape& shape = params.shape;
      const HeadNormKind kind = ToNormKind(params.qk_norm);
      const bool each = params.weights_per_head || params.qk_norm == QkNorm::kFullWidth;
      const int64_t weight_stride = each ? shape.head_dim : 0;
      NormRopeWriteArgs args;
      args.qkv = params.qkv.Rows(begin, 0).data;
      args.qkv_stride = params.qkv.row_stride;
      args.q2 = params.q2.data == nullptr ? nullptr : params.q2.Rows(begin, 0).data;
      args.q2_stride = params.q2.row_stride;
      args.type = ToElementType(params.qkv.dtype);
      args.tokens = std::min(per_task, tokens - begin);
      args.num_heads = shape.num_heads;
      args.num_kv_heads = shape.num_kv_heads;
      args.head_dim = shape.head_dim;
      args.value_dim = shape.value_dim;
      args.q_norm = {kind, params.q_norm, weight_stride, params.norm_eps};
      args.k_norm = {kind, params.k_norm, weight_stride, params.norm_eps};
      args.rope = {params.rope.cos, params.rope.sin, params.rope.rotary_dim,
                   params.rope.interleaved};
      args.rope_rows = rope_rows.data + begin;
      args.rope_rows2 = args.q2 == nullptr ? nullptr : rope_rows2.data + begin;
      args.slots = slots == nullptr ? nullptr : slots + begin;
      args.pages = ToKvPages(params.kv);
      args.scratch = Scratch(thread);
      kernels_.norm_rope_write(args);
    });
  }

  // The keys and values of the wave's rows into the scratch pages.
  void PackWave(const GqaParams& params) {
    const GqaShape& shape = params.shape;
    const std::vector<int32_t>& starts = wave_.table_start;
    pool_.ParallelFor(starts.back(), [&](int64_t page, int thread) {
      const int64_t s = std::upper_bound(starts.begin(), starts.end(), page) - starts.begin() - 1;
      const int64_t first = (page - starts[s]) * kEncoderBlockTokens;
      const int64_t row = wave_.query_start[s] + first;
      WriteKvArgs args;
      args.kv = static_cast<const char*>(params.qkv.data) +
                (row * params.qkv.row_stride + int64_t{shape.num_heads} * shape.head_dim) *
                    Bytes(params.qkv.dtype);
      args.kv_stride = params.qkv.row_stride;
      args.type = ToElementType(params.qkv.dtype);
      args.tokens = std::min<int64_t>(kEncoderBlockTokens, wave_.kv_len[s] - first);
      args.num_kv_heads = shape.num_kv_heads;
      args.head_dim = shape.head_dim;
      args.value_dim = shape.value_dim;
      args.first_slot = page * kEncoderBlockTokens;
      args.pages = ToKvPages(params.kv);
      args.scratch = Scratch(thread);
      kernels_.write_kv(args);
    });
  }

  ThreadPool& pool_;
  const AttentionKernels& kernels_;
  const CpuAttentionLimits limits_;
  const int64_t scratch_numbers_;
  DeviceBuffer scratch_;        // [threads] of scratch_numbers_
  DeviceBuffer partials_;       // states of splits
  DeviceBuffer encoder_pages_;  // of the wave at work
  GqaDriver driver_;
  EncoderWave wave_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Attention>> MakeCpuAttention(ThreadPool& pool, DeviceMemory& memory,
                                                            CpuIsa isa,
                                                            const CpuAttentionLimits& limits) {
  const int64_t threads = pool.num_threads();
  const int64_t scratch_numbers =
      AttentionKernelsFor(isa).gqa_scratch_numbers(limits.max_head_dim, limits.max_value_dim);
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer scratch,
                         memory.Allocate(threads * scratch_numbers * sizeof(float), "workspace"));
  QUIRE_ASSIGN_OR_RETURN(
      DeviceBuffer partials,
      memory.Allocate(threads * kPartialNumbersPerThread * sizeof(float), "workspace"));
  DeviceBuffer encoder_pages;
  if (limits.encoder_tokens > 0) {
    const int64_t bytes =
        CpuAttention::EncoderPages(limits) * kEncoderBlockTokens * limits.encoder_token_bytes;
    QUIRE_ASSIGN_OR_RETURN(encoder_pages, memory.Allocate(bytes, "workspace"));
  }
  return std::make_unique<CpuAttention>(pool, isa, limits, scratch_numbers, std::move(scratch),
                                        std::move(partials), std::move(encoder_pages));
}

}  // namespace quire
