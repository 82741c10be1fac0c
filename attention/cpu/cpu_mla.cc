#include "attention/cpu/cpu_mla.h"

#include <algorithm>
#include <utility>

#include "attention/cpu/attention_kernel_table.h"
#include "attention/cpu/element_at.h"
#include "attention/cpu/mla_prefill.h"
#include "attention/mla_checks.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "core/cpu/element_type_of.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// Items per thread that keep all threads busy to the end; with fewer, sequences are cut along their
// keys.
constexpr int64_t kItemsPerThread = 4;

// States of splits that the cut items keep, per thread: at least two of each.
constexpr int64_t kStatesPerThread = 4 * kItemsPerThread;

// Elements of the rows that one task of NormRopeWrite takes: long against a fork.
constexpr int64_t kTaskElements = 8192;

// How the heads of a row are shared out to items.
struct HeadBlocks {
  int64_t count;
  int64_t most;  // heads of one

  explicit HeadBlocks(const MlaShape& shape)
      : count(CeilDiv(shape.num_heads, kItemRows)), most(CeilDiv(shape.num_heads, count)) {}
};

// Where what MakeCpuMla takes lies, in numbers of fp32.
struct Memory {
  int64_t scratch;  // of one thread
  int64_t state;    // of one split of one item
  int64_t states;

  Memory(const MlaLimits& limits, int threads, CpuIsa isa) {
    const MlaShape& shape = limits.shape;
    scratch = std::max<int64_t>(
        MlaKernelsFor(isa).scratch_numbers(shape.latent_dim + shape.rope_dim, shape.latent_dim),
        std::max(shape.latent_dim, shape.rope_dim));
    state = PartialNumbers(HeadBlocks(shape).most, shape.latent_dim);
    states = kStatesPerThread * threads;
  }
  int64_t bytes(int threads) const {
    return (threads * scratch + states * state) * static_cast<int64_t>(sizeof(float));
  }
};

class CpuMla : public Mla {
 public:
  CpuMla(ThreadPool& pool, CpuIsa isa, const MlaLimits& limits, DeviceBuffer buffer,
         std::unique_ptr<MlaPrefill> prefill)
      : pool_(pool),
        kernels_(MlaKernelsFor(isa)),
        gqa_kernels_(AttentionKernelsFor(isa)),
        limits_(limits),
        memory_(limits, pool.num_threads(), isa),
        heads_(limits.shape),
        buffer_(std::move(buffer)),
        prefill_(std::move(prefill)) {}

  void NormRopeWrite(const MlaNormRopeWriteParams& params, const AttentionBatch& batch) override {
    CheckMlaNormRopeWrite(params, batch);
    CheckLimits(params.shape, params.kv, params.q.rows);
    const MlaShape& shape = params.shape;
    const int64_t tokens = params.q.rows;
    const int64_t per_task =
        std::max<int64_t>(1, kTaskElements / (params.q.cols + params.latent.cols));
    pool_.ParallelFor(CeilDiv(tokens, per_task), [&](int64_t task, int thread) {
      const int64_t begin = task * per_task;
      MlaNormRopeWriteArgs args;
      args.latent = ElementAt(params.latent, begin, 0);
      args.latent_stride = params.latent.row_stride;
      args.latent_type = ToElementType(params.latent.dtype);
      args.q = ElementAt(params.q, begin, 0);
      args.q_stride = params.q.row_stride;
      args.q_type = ToElementType(params.q.dtype);
      args.tokens = std::min(per_task, tokens - begin);
      args.num_heads = shape.num_heads;
      args.head_dim = shape.head_dim();
      args.rope_begin = shape.rope_begin();
      args.latent_dim = shape.latent_dim;
      args.key_ropes = shape.rope_per_head ? shape.num_heads : 1;
      if (params.latent_norm != nullptr) {
        args.latent_norm = {HeadNormKind::kRmsPerHead, params.latent_norm, 0, params.norm_eps};
      }
      args.rope = {params.rope.cos, params.rope.sin, params.rope.rotary_dim,
                   params.rope.interleaved};
      args.rope_rows = batch.rope_rows.data + begin;
      args.slots = batch.slots.data + begin;
      args.pages = {static_cast<char*>(params.kv.base), params.kv.page_stride_bytes,
                    params.kv.layout.block_tokens, ToElementType(params.kv.layout.dtype)};
      args.scratch = Scratch(thread);
      kernels_.norm_rope_write(args);
    });
  }

  void Absorbed(const MlaAbsorbedParams& params, const AttentionBatch& batch) override {
    CheckMlaAbsorbed(params, batch);
    CheckLimits(params.shape, params.kv, params.q_latent.rows);
    const int64_t items = params.q_latent.rows * heads_.count;
    if (pool_.num_threads() > 1 && items < kItemsPerThread * pool_.num_threads()) {
      RunCut(params, batch, items);
      return;
    }
    pool_.ParallelFor(items, [&](int64_t number, int thread) {
      MlaItem item = MakeItem(params, batch, number);
      item.gqa.scratch = Scratch(thread);
      kernels_.absorbed(item);
    });
  }

  void Prefill(const MlaPrefillParams& params, const AttentionBatch& batch,
               MlaExpand expand) override {
    CheckMlaPrefill(params, batch);
    CheckLimits(params.shape, params.kv, params.q.rows);
    prefill_->Run(params, batch, expand);
  }

 private:
  float* Scratch(int thread) const {
    return static_cast<float*>(buffer_.data()) + thread * memory_.scratch;
  }
  // Of item `item`, of which each keeps `states`.
  float* States(int64_t item, int64_t states) const {
    return Scratch(pool_.num_threads()) + item * states * memory_.state;
  }

  void CheckLimits(const MlaShape& shape, const PagedKvView& kv, int64_t rows) const {
    const MlaShape& made = limits_.shape;
    QUIRE_CHECK_EQ(shape.num_heads, made.num_heads);
    QUIRE_CHECK_EQ(shape.latent_dim, made.latent_dim);
    QUIRE_CHECK_EQ(shape.nope_dim, made.nope_dim);
    QUIRE_CHECK_EQ(shape.rope_dim, made.rope_dim);
    QUIRE_CHECK_EQ(shape.value_dim, made.value_dim);
    QUIRE_CHECK_EQ(shape.rope_per_head, made.rope_per_head);
    QUIRE_CHECK_LE(rows, limits_.max_rows);
    QUIRE_CHECK(kv.layout.dtype == limits_.cache_dtype);
    const int block_tokens = kv.layout.block_tokens;
    QUIRE_CHECK(block_tokens == 16 || block_tokens == 32 || block_tokens == 64) << block_tokens;
  }

  // Cuts all items along their keys, in rounds of as many splits as their states have room for.
  void RunCut(const MlaAbsorbedParams& params, const AttentionBatch& batch, int64_t items) {
    if (items == 0) return;
    int64_t most = 0;
    for (int64_t number = 0; number < items; ++number) {
      most = std::max(most, MakeItem(params, batch, number).gqa.kv_len);
    }
    const int64_t splits = CeilDiv(most, kSplitTokens);
    const int64_t states = std::min(splits, memory_.states / items);
    QUIRE_CHECK_GE(states, std::min<int64_t>(splits, 2));
    // The first state of an item is the sum of the rounds before; the first round begins with it.
    for (int64_t begin = 0; begin < splits;) {
      const int64_t first_state = begin == 0 ? 0 : 1;
      const int64_t round = std::min(splits - begin, states - first_state);
      pool_.ParallelFor(items * round, [&](int64_t task, int thread) {
        const int64_t number = task / round;
        const int64_t split = begin + task % round;
        MlaItem item = MakeItem(params, batch, number);
        if (split * kSplitTokens >= item.gqa.kv_len) return;
        item.gqa.scratch = Scratch(thread);
        kernels_.absorbed_split(
            item, split,
            States(number, states) + (first_state + task % round) * StateNumbers(item.gqa));
      });
      pool_.ParallelFor(items, [&](int64_t number, int /*thread*/) {
        const MlaItem item = MakeItem(params, batch, number);
        const int64_t end = CeilDiv(item.gqa.kv_len, kSplitTokens);
        if (begin >= end) return;
        float* total = States(number, states);
        gqa_kernels_.gqa_merge(item.gqa, total, std::min(round, end - begin) - (1 - first_state),
                               total + StateNumbers(item.gqa));
      });
      begin += round;
    }
  }

  static int64_t StateNumbers(const GqaItem& item) {
    return PartialNumbers(item.heads, item.value_dim);
  }

  // Item `number` of rows x blocks of heads.
  MlaItem MakeItem(const MlaAbsorbedParams& params, const AttentionBatch& batch,
                   int64_t number) const {
    const MlaShape& shape = params.shape;
    const KvPageLayout& layout = params.kv.layout;
    const int64_t row = number / heads_.count;
    const int64_t batch_row = params.first_row + row;
    const int64_t block = number % heads_.count;
    const int64_t head = shape.num_heads * block / heads_.count;
    const int32_t* starts = batch.query_start.data;
    const int64_t entry =
        std::upper_bound(starts, starts + batch.kv_len.size, batch_row) - starts - 1;
    const int64_t rows_after = batch.query_start.data[entry + 1] - 1 - batch_row;
    const auto first_head = static_cast<int>(head);
    MlaItem item;
    GqaItem& gqa = item.gqa;
    gqa.q = ElementAt(params.q_latent, row, head * shape.latent_dim);
    gqa.q_stride = params.q_latent.row_stride;
    gqa.out = ElementAt(params.out, row, head * shape.latent_dim);
    gqa.out_stride = params.out.row_stride;
    gqa.type = ToElementType(params.out.dtype);
    gqa.queries = 1;
    gqa.heads = shape.num_heads * (block + 1) / heads_.count - head;
    gqa.kv_len = batch.kv_len.data[entry] - rows_after;
    gqa.first_position = gqa.kv_len - 1;
    gqa.head_dim = shape.latent_dim + shape.rope_dim;
    gqa.value_dim = shape.latent_dim;
    gqa.scale = params.scale;
    gqa.kv.keys = static_cast<const char*>(params.kv.base);
    gqa.kv.values = nullptr;
    gqa.kv.page_stride_bytes = params.kv.page_stride_bytes;
    gqa.kv.block_tokens = layout.block_tokens;
    gqa.kv.blocks = batch.blocks.data + batch.table_start.data[entry];
    gqa.kv.first_block = 0;
    gqa.kv.type = ToElementType(layout.dtype);
    gqa.scratch = nullptr;
    item.q_type = ToElementType(params.q_latent.dtype);
    item.q_rope = ElementAt(params.q, row, head * shape.head_dim() + shape.rope_begin());
    item.q_rope_stride = shape.head_dim();
    item.q_rope_type = ToElementType(params.q.dtype);
    item.rope_dim = shape.rope_dim;
    item.first_rope = shape.key_rope_begin(first_head);
    item.rope_stride = shape.rope_per_head ? shape.rope_dim : 0;
    return item;
  }

  ThreadPool& pool_;
  const MlaKernels& kernels_;
  const AttentionKernels& gqa_kernels_;
  const MlaLimits limits_;
  const Memory memory_;
  const HeadBlocks heads_;
  DeviceBuffer buffer_;  // [threads] of scratch, then states
  std::unique_ptr<MlaPrefill> prefill_;
};

}  // namespace

int64_t CpuMlaBytes(const MlaLimits& limits, int threads, CpuIsa isa) {
  return Memory(limits, threads, isa).bytes(threads) + MlaPrefill::Bytes(limits, threads, isa);
}

absl::StatusOr<std::unique_ptr<Mla>> MakeCpuMla(ThreadPool& pool, DeviceMemory& memory, CpuIsa isa,
                                                const MlaLimits& limits) {
  CheckMlaShape(limits.shape);
  const int threads = pool.num_threads();
  QUIRE_ASSIGN_OR_RETURN(DeviceBuffer buffer,
                         memory.Allocate(Memory(limits, threads, isa).bytes(threads), "workspace"));
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<MlaPrefill> prefill,
                         MlaPrefill::Create(pool, memory, isa, limits));
  return std::make_unique<CpuMla>(pool, isa, limits, std::move(buffer), std::move(prefill));
}

}  // namespace quire
