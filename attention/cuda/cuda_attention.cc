#include "attention/cuda/cuda_attention.h"

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "attention/attention_checks.h"
#include "attention/cuda/gqa_decode_args.h"
#include "attention/cuda/launch_gqa_decode.h"
#include "attention/cuda/launch_gqa_prefill.h"
#include "attention/cuda/launch_rope.h"
#include "attention/cuda/make_gqa_args.h"
#include "attention/cuda/make_rope_args.h"
#include "core/check.h"
#include "core/status_macros.h"

namespace quire {
namespace {

constexpr size_t kPageCopies = 64;  // of a launch

// Rows from `row` on, where there is a matrix.
DeviceMatrix From(const DeviceMatrix& m, int64_t row, int64_t count) {
  return m.data == nullptr ? m : m.Rows(row, count);
}

class CudaAttention : public Attention {
 public:
  CudaAttention(DeviceQueue& queue, const CudaAttentionLimits& limits)
      : queue_(queue), limits_(limits), staged_pairs_(2 * kPageCopies) {
    const int64_t row_bytes = std::max<int64_t>(1, WorkspaceBytes(1));
    rows_at_once_ = std::clamp<int64_t>(limits.workspace_bytes / row_bytes, 1,
                                        std::max<int64_t>(1, limits.max_rows));
  }

  absl::Status TakeMemory(DeviceMemory& memory) {
    if (limits_.num_heads > 0) {
      const int64_t numbers = GqaDecodePlanSize(rows_at_once_, limits_.max_splits);
      QUIRE_ASSIGN_OR_RETURN(plan_, memory.Allocate(numbers * sizeof(int32_t), "activations"));
      QUIRE_ASSIGN_OR_RETURN(workspace_,
                             memory.Allocate(WorkspaceBytes(rows_at_once_), "activations"));
    }
    QUIRE_ASSIGN_OR_RETURN(pairs_,
                           memory.Allocate(staged_pairs_.size() * sizeof(int32_t), "activations"));
    return absl::OkStatus();
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
    for (int64_t row = 0; row < params.num_generated; row += rows_at_once_) {
      Decode(params, batch, row, std::min(rows_at_once_, params.num_generated - row));
    }
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

  int64_t WorkspaceBytes(int64_t rows) const {
    return GqaDecodeWorkspaceSize(rows, limits_.max_splits, limits_.num_heads, limits_.value_dim) *
           static_cast<int64_t>(sizeof(float));
  }

  // Rows [first_row, first_row + rows).
  void Decode(const GqaParams& params, const AttentionBatch& batch, int64_t first_row,
              int64_t rows) {
    const DeviceArray<const int32_t> lengths = batch.host().kv_len;
    const int32_t longest =
        lengths.size == 0 ? 0 : *std::max_element(lengths.data, lengths.data + lengths.size);
    const KvPrefix& prefix = params.prefix;
    const int64_t splits = GqaDecodeMaxSplits(longest, params.shape.window, prefix.tokens);
    QUIRE_CHECK_LE(splits, limits_.max_splits);
    QUIRE_CHECK_LE(params.shape.num_heads, limits_.num_heads);
    QUIRE_CHECK_LE(params.shape.head_dim, limits_.head_dim);
    QUIRE_CHECK_LE(params.shape.value_dim, limits_.value_dim);
    const GqaDecodePlanArgs plan{.first_row = first_row,
                                 .num_rows = rows,
                                 .max_splits = splits,
                                 .window = params.shape.window,
                                 .block_tokens = params.kv.layout.block_tokens,
                                 .prefix_tokens = prefix.tokens,
                                 .prefix_shared = prefix.shared,
                                 .query_start = batch.query_start,
                                 .positions = batch.positions,
                                 .table_start = batch.table_start,
                                 .first_block = batch.first_block,
                                 .prefix_start = batch.prefix_start,
                                 .plan = static_cast<int32_t*>(plan_.data())};
    const AttentionBias& bias = params.scores.bias;
    cuda::GqaDecodePlan(queue_, plan);
    cuda::GqaDecode(
        queue_, {.plan = plan,
                 .qkv = params.qkv.Rows(first_row, rows),
                 .q2 = From(prefix.q2, first_row, rows),
                 .out = params.out.Rows(first_row, rows),
                 .num_heads = params.shape.num_heads,
                 .scale = params.scale,
                 .kv = params.kv,
                 .blocks = batch.blocks,
                 .prefix_blocks = prefix.shared ? prefix.blocks : batch.prefix_blocks,
                 .softcap = params.scores.softcap,
                 .alibi_slopes = params.scores.alibi_slopes,
                 .bias = bias.data == nullptr ? nullptr : bias.data + first_row * bias.row_stride,
                 .bias_head_stride = params.scores.bias.head_stride,
                 .bias_row_stride = params.scores.bias.row_stride,
                 .sink_logits = params.scores.sink_logits,
                 .workspace = static_cast<float*>(workspace_.data()),
                 .max_blocks = limits_.multiprocessors * BlocksOfOne(params.shape)});
  }

  DeviceQueue& queue_;
  const CudaAttentionLimits limits_;
  int64_t rows_at_once_ = 0;  // whose splits are computed together
  std::vector<int32_t> staged_pairs_;
  DeviceBuffer plan_;
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
