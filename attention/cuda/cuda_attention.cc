#include "attention/cuda/cuda_attention.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "attention/attention_checks.h"
#include "attention/cuda/gqa_decode_args.h"
#include "attention/cuda/launch_decode_plan.h"
#include "attention/cuda/launch_gqa_decode.h"
#include "attention/cuda/launch_gqa_prefill.h"
#include "attention/cuda/launch_rope.h"
#include "attention/cuda/make_gqa_args.h"
#include "attention/cuda/make_rope_args.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "core/status_macros.h"

namespace quire {
namespace {

constexpr size_t kPageCopies = 64;  // of a launch

// Rows from `row` on, where there is a matrix.
DeviceMatrix From(const DeviceMatrix& m, int64_t row, int64_t count) {
  return m.data == nullptr ? m : m.Rows(row, count);
}

// Of rows [0, rows) of the batch.
KvExtent ExtentOf(const AttentionBatch& batch, int64_t rows) {
  const AttentionBatch& host = batch.host();
  if (host.at_most) return *host.at_most;
  KvExtent extent;
  for (int64_t entry = 0; entry < host.kv_len.size; ++entry) {
    const int64_t begin = host.query_start.data[entry];
    if (begin >= rows) break;
    const int64_t length = host.kv_len.data[entry];
    extent.longest = std::max(extent.longest, length);
    extent.keys += (std::min<int64_t>(rows, host.query_start.data[entry + 1]) - begin) * length;
  }
  return extent;
}

class CudaAttention : public Attention {
 public:
  CudaAttention(DeviceQueue& queue, const CudaAttentionLimits& limits)
      : queue_(queue), limits_(limits), plans_(limits.plans), staged_pairs_(2 * kPageCopies) {
    const int64_t item_bytes = std::max<int64_t>(1, WorkspaceBytes(1));
    max_items_ = std::clamp<int64_t>(limits.workspace_bytes / item_bytes, limits.max_splits,
                                     std::max<int64_t>(1, limits.max_rows) * limits.max_splits);
  }

  absl::Status TakeMemory(DeviceMemory& memory) {
    if (limits_.num_heads > 0) {
      const int64_t numbers = DecodePlanSize(limits_.max_rows, max_items_);
      for (DecodePlan& plan : plans_) {
        QUIRE_ASSIGN_OR_RETURN(plan.buffer,
                               memory.Allocate(numbers * sizeof(int32_t), "workspace"));
      }
      QUIRE_ASSIGN_OR_RETURN(workspace_, memory.Allocate(WorkspaceBytes(max_items_), "workspace"));
    }
    QUIRE_ASSIGN_OR_RETURN(pairs_,
                           memory.Allocate(staged_pairs_.size() * sizeof(int32_t), "workspace"));
    return absl::OkStatus();
  }

  void BeginBatch() override {
    for (DecodePlan& plan : plans_) plan.is_made = false;
  }

  void NormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) override {
    CheckNormRopeWriteShapes(params, batch);
    if (params.qkv.rows > 0) cuda::NormRope(queue_, MakeNormRopeWriteArgs(params, batch));
  }

  void NormRope(const NormRopeWriteParams& params, DeviceArray<const int32_t> rope_rows) override {
    CheckNormRopeShapes(params, rope_rows);
    if (params.qkv.rows > 0) cuda::NormRope(queue_, MakeNormRopeArgs(params, rope_rows));
  }

  // A generated row and one of a prompt have kernels of their own, whatever else is in the batch.
  void Gqa(const GqaParams& params, const AttentionBatch& batch) override {
    CheckGqaShapes(params, batch);
    if (params.num_generated > 0) Decode(params, batch);
    if (params.num_generated < params.qkv.rows) {
      cuda::GqaPrefill(queue_, MakeGqaPrefillArgs(params, batch));
    }
  }

  void Encode(const EncoderParams& params, DeviceArray<const int32_t> query_start) override {
    CheckEncodeShapes(params, query_start);
    if (params.qkv.rows == 0) return;
    cuda::Encode(queue_, {.qkv = params.qkv,
                          .out = params.out,
                          .shape = MakeGqaShapeArgs(params.shape),
                          .scores = MakeScoreRuleArgs(params.scores, params.scale),
                          .num_sequences = static_cast<int>(query_start.size - 1),
                          .query_start = query_start.data});
  }

  void CopyPages(const PagedKvView& kv,
                 absl::Span<const std::pair<BlockId, BlockId>> pages) override {
    for (size_t begin = 0; begin < pages.size(); begin += kPageCopies) {
      const auto some = pages.subspan(begin, kPageCopies);
      int32_t* out = staged_pairs_.data();
      for (const auto& [source, target] : some) {
        *out++ = source.value();
        *out++ = target.value();
      }
      const auto size = static_cast<int64_t>(2 * some.size());
      queue_.CopyToDevice(pairs_.data(), staged_pairs_.data(), size * sizeof(int32_t));
      cuda::CopyPages(queue_,
                      {.kv = kv, .pairs = {static_cast<const int32_t*>(pairs_.data()), size}});
    }
  }

 private:
  // Decode blocks that a multiprocessor holds: their rings of tiles take its shared memory.
  static int BlocksOfOne(const GqaShape& shape) {
    return std::max(shape.head_dim, shape.value_dim) <= 128 ? 2 : 1;
  }

  int64_t WorkspaceBytes(int64_t items) const {
    return GqaDecodeWorkspaceSize(items, limits_.num_heads, limits_.value_dim) *
           static_cast<int64_t>(sizeof(float));
  }

  // The splits of the rows that a batch decodes.
  struct DecodePlan {
    DeviceBuffer buffer;
    bool is_made = false;  // for this batch, of all its rows
    DecodePlanArgs args;

    bool Serves(const DecodePlanArgs& other) const {
      return is_made && args.table_start.data == other.table_start.data &&
             args.num_rows == other.num_rows && args.window == other.window &&
             args.block_tokens == other.block_tokens && args.prefix_tokens == other.prefix_tokens &&
             args.prefix_shared == other.prefix_shared;
    }
  };

  // Layers that see the same share a plan. Rows whose splits the workspace does not hold together
  // take turns.
  void Decode(const GqaParams& params, const AttentionBatch& batch) {
    QUIRE_CHECK_LE(params.shape.num_heads, limits_.num_heads);
    QUIRE_CHECK_LE(params.shape.head_dim, limits_.head_dim);
    QUIRE_CHECK_LE(params.shape.value_dim, limits_.value_dim);
    QUIRE_CHECK_LE(params.num_generated, limits_.max_rows);
    const KvPrefix& prefix = params.prefix;
    const KvExtent extent = ExtentOf(batch, params.num_generated);
    const int64_t splits = GqaDecodeMaxSplits(extent.longest, params.shape.window, prefix.tokens);
    QUIRE_CHECK_LE(splits, limits_.max_splits);
    DecodePlanArgs args{.num_rows = params.num_generated,
                        .split_tokens = kGqaDecodeSplit,
                        .max_items = max_items_,
                        .window = params.shape.window,
                        .block_tokens = params.kv.layout.block_tokens,
                        .prefix_tokens = prefix.tokens,
                        .prefix_shared = prefix.shared,
                        .query_start = batch.query_start,
                        .positions = batch.positions,
                        .table_start = batch.table_start,
                        .first_block = batch.first_block,
                        .prefix_start = batch.prefix_start};
    const int64_t by_keys = extent.keys / kGqaDecodeSplit +
                            args.num_rows * (1 + CeilDiv(prefix.tokens, kGqaDecodeSplit));
    if (std::min(args.num_rows * splits, by_keys) <= max_items_) {
      return RunSplits(params, batch, PlanOnce(args));
    }
    const int64_t rows_at_once = max_items_ / splits;
    DecodePlan& scratch = plans_.back();
    scratch.is_made = false;
    args.plan = static_cast<int32_t*>(scratch.buffer.data());
    for (; args.first_row < params.num_generated; args.first_row += rows_at_once) {
      args.num_rows = std::min(rows_at_once, params.num_generated - args.first_row);
      cuda::PlanDecode(queue_, args);
      RunSplits(params, batch, args);
    }
  }

  const DecodePlanArgs& PlanOnce(const DecodePlanArgs& wanted) {
    for (const DecodePlan& plan : plans_) {
      if (plan.Serves(wanted)) return plan.args;
    }
    const auto unused = std::find_if(plans_.begin(), plans_.end() - 1,
                                     [](const DecodePlan& plan) { return !plan.is_made; });
    unused->args = wanted;
    unused->args.plan = static_cast<int32_t*>(unused->buffer.data());
    unused->is_made = true;
    cuda::PlanDecode(queue_, unused->args);
    return unused->args;
  }

  void RunSplits(const GqaParams& params, const AttentionBatch& batch, const DecodePlanArgs& plan) {
    const KvPrefix& prefix = params.prefix;
    const AttentionBias& bias = params.scores.bias;
    cuda::GqaDecode(
        queue_,
        {.plan = plan,
         .qkv = params.qkv.Rows(plan.first_row, plan.num_rows),
         .q2 = From(prefix.q2, plan.first_row, plan.num_rows),
         .out = params.out.Rows(plan.first_row, plan.num_rows),
         .num_heads = params.shape.num_heads,
         .scale = params.scale,
         .kv = params.kv,
         .blocks = batch.blocks,
         .prefix_blocks = prefix.shared ? prefix.blocks : batch.prefix_blocks,
         .softcap = params.scores.softcap,
         .alibi_slopes = params.scores.alibi_slopes,
         .bias = bias.data == nullptr ? nullptr : bias.data + plan.first_row * bias.row_stride,
         .bias_head_stride = params.scores.bias.head_stride,
         .bias_row_stride = params.scores.bias.row_stride,
         .sink_logits = params.scores.sink_logits,
         .workspace = static_cast<float*>(workspace_.data()),
         .max_blocks = limits_.multiprocessors * BlocksOfOne(params.shape)});
  }

  DeviceQueue& queue_;
  const CudaAttentionLimits limits_;
  int64_t max_items_ = 0;  // splits that the workspace holds
  std::vector<DecodePlan> plans_;
  std::vector<int32_t> staged_pairs_;
  DeviceBuffer workspace_;
  DeviceBuffer pairs_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Attention>> MakeCudaAttention(DeviceQueue& queue,
                                                             DeviceMemory& memory,
                                                             const CudaAttentionLimits& limits) {
  if (std::max(limits.head_dim, limits.value_dim) > kGqaDecodeMostDim) {
    return absl::FailedPreconditionError(
        absl::StrCat("the CUDA backend takes attention heads of at most ", kGqaDecodeMostDim,
                     " dims; the model's have ", limits.head_dim, " (values ", limits.value_dim,
                     "): use --device cpu"));
  }
  auto attention = std::make_unique<CudaAttention>(queue, limits);
  QUIRE_RETURN_IF_ERROR(attention->TakeMemory(memory));
  return attention;
}

}  // namespace quire
