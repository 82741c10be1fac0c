#include "attention/cuda/cuda_mla.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "attention/cuda/launch_decode_plan.h"
#include "attention/cuda/launch_mla.h"
#include "attention/cuda/launch_rope.h"
#include "attention/cuda/make_rope_args.h"
#include "attention/cuda/mla_args.h"
#include "attention/cuda/mla_chunks.h"
#include "attention/mla_checks.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// What the splits of absorbed rows, and the expanded keys of a chunk, may take.
constexpr int64_t kWorkspaceBytes = int64_t{128} << 20;
// Blocks that fill a device: with fewer rows and heads, each split of a row gets one of its own.
constexpr int64_t kManyBlocks = 264;
constexpr int64_t kHeadsOfABlock = 16;

MlaPages PagesOf(const PagedKvView& kv) {
  return {.base = kv.base,
          .page_stride_bytes = kv.page_stride_bytes,
          .block_tokens = kv.layout.block_tokens,
          .dtype = kv.layout.dtype};
}

class CudaMla : public Mla {
 public:
  CudaMla(DeviceQueue& queue, const MlaLimits& limits, int multiprocessors)
      : queue_(queue), limits_(limits), max_blocks_(2 * multiprocessors) {
    const MlaShape& shape = limits.shape;
    const auto item_bytes = static_cast<int64_t>(MlaAbsorbedWorkspaceBytes(1, shape));
    max_items_ = std::clamp<int64_t>(kWorkspaceBytes / item_bytes, 1,
                                     limits.max_rows * MlaSplits(limits.max_context));
    const int64_t key_bytes = (shape.latent_dim + shape.expanded_width()) *
                              static_cast<int64_t>(DTypeBytes(limits.cache_dtype));
    const int64_t most = (limits.max_context + kMlaPieceTokens - 1) / kMlaPieceTokens;
    chunk_keys_ = kMlaPieceTokens *
                  std::clamp<int64_t>(kWorkspaceBytes / (key_bytes * kMlaPieceTokens), 1, most);
  }

  absl::Status TakeMemory(DeviceMemory& memory) {
    const MlaShape& shape = limits_.shape;
    const int64_t plan_size = DecodePlanSize(limits_.max_rows, max_items_);
    QUIRE_ASSIGN_OR_RETURN(plan_, memory.Allocate(plan_size * sizeof(int32_t), "workspace"));
    QUIRE_ASSIGN_OR_RETURN(
        splits_, memory.Allocate(MlaAbsorbedWorkspaceBytes(max_items_, shape), "workspace"));
    const auto element = static_cast<int64_t>(DTypeBytes(limits_.cache_dtype));
    QUIRE_ASSIGN_OR_RETURN(latent_,
                           memory.Allocate(chunk_keys_ * shape.latent_dim * element, "workspace"));
    QUIRE_ASSIGN_OR_RETURN(
        expanded_, memory.Allocate(chunk_keys_ * shape.expanded_width() * element, "workspace"));
    QUIRE_ASSIGN_OR_RETURN(
        states_, memory.Allocate(MlaPrefillStateBytes(limits_.max_rows, shape), "workspace"));
    return absl::OkStatus();
  }

  void BeginBatch() override { planned_ = {}; }

  void NormRopeWrite(const MlaNormRopeWriteParams& params, const AttentionBatch& batch) override {
    CheckMlaNormRopeWriteShapes(params, batch);
    if (params.q.rows > 0) cuda::MlaNormRope(queue_, MakeMlaNormRopeArgs(params, batch));
  }

  void Absorbed(const MlaAbsorbedParams& params, const AttentionBatch& batch) override {
    CheckMlaAbsorbedShapes(params, batch);
    const int64_t rows = params.q_latent.rows;
    if (rows == 0) return;
    QUIRE_CHECK_LE(rows, limits_.max_rows);
    const int64_t heads = CeilDiv(params.shape.num_heads, kHeadsOfABlock);
    // The bits are the same with and without.
    const bool splits = rows * heads < kManyBlocks;
    cuda::MlaAbsorbed(queue_, {.q_latent = params.q_latent,
                               .q = params.q,
                               .out = params.out,
                               .first_row = params.first_row,
                               .shape = params.shape,
                               .scale = params.scale,
                               .pages = PagesOf(params.kv),
                               .query_start = batch.query_start,
                               .kv_len = batch.kv_len,
                               .table_start = batch.table_start,
                               .blocks = batch.blocks,
                               .split_rows = splits,
                               .plan = splits ? PlanOnce(params, batch) : DecodePlanArgs(),
                               .max_blocks = max_blocks_,
                               .workspace = static_cast<float*>(splits_.data())});
  }

  void Prefill(const MlaPrefillParams& params, const AttentionBatch& batch,
               MlaExpand expand) override {
    CheckMlaPrefillShapes(params, batch);
    QUIRE_CHECK_LE(params.q.rows, limits_.max_rows);
    const AttentionBatch& host = batch.host();
    const MlaPages pages = PagesOf(params.kv);
    const DType dtype = params.kv.layout.dtype;
    const auto matrix = [&](const DeviceBuffer& buffer, int64_t rows, int64_t cols) {
      return DeviceMatrix{buffer.data(), dtype, rows, cols, cols};
    };
    ForEachMlaChunk(
        {host.query_start.data, host.kv_len.data, host.table_start.data, host.kv_len.size},
        MlaEntryOfRow(host, params.first_row), static_cast<int32_t>(chunk_keys_),
        [&](const MlaPieces& pieces) {
          const DeviceMatrix latent = matrix(latent_, pieces.rows, params.shape.latent_dim);
          const DeviceMatrix kv = matrix(expanded_, pieces.rows, params.shape.expanded_width());
          cuda::MlaGather(
              queue_, {.pieces = pieces, .pages = pages, .blocks = batch.blocks, .latent = latent});
          expand(latent, kv);
          cuda::MlaPrefill(queue_, {.pieces = pieces,
                                    .q = params.q,
                                    .out = params.out,
                                    .shape = params.shape,
                                    .scale = params.scale,
                                    .pages = pages,
                                    .blocks = batch.blocks,
                                    .kv = kv,
                                    .states = static_cast<float*>(states_.data())});
        });
  }

 private:
  // All layers share it.
  const DecodePlanArgs& PlanOnce(const MlaAbsorbedParams& params, const AttentionBatch& batch) {
    const int64_t rows = params.q_latent.rows;
    if (planned_.table_start.data == batch.table_start.data && planned_.num_rows == rows &&
        planned_.first_row == params.first_row) {
      return planned_;
    }
    planned_ = {.first_row = params.first_row,
                .num_rows = rows,
                .split_tokens = kMlaSplitTokens,
                .max_items = max_items_,
                .may_be_more = true,
                .block_tokens = params.kv.layout.block_tokens,
                .query_start = batch.query_start,
                .positions = batch.positions,
                .table_start = batch.table_start,
                .first_block = batch.first_block,
                .prefix_start = batch.prefix_start,
                .plan = static_cast<int32_t*>(plan_.data())};
    cuda::PlanDecode(queue_, planned_);
    return planned_;
  }

  DeviceQueue& queue_;
  const MlaLimits limits_;
  const int64_t max_blocks_;
  int64_t max_items_ = 0;   // splits that the workspace has room for
  DecodePlanArgs planned_;  // of this batch
  int64_t chunk_keys_ = 0;  // that are expanded at a time
  DeviceBuffer plan_;
  DeviceBuffer splits_;
  DeviceBuffer latent_;
  DeviceBuffer expanded_;
  DeviceBuffer states_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Mla>> MakeCudaMla(DeviceQueue& queue, DeviceMemory& memory,
                                                 const MlaLimits& limits, int multiprocessors) {
  const MlaShape& shape = limits.shape;
  CheckMlaShape(shape);
  QUIRE_CHECK_GT(limits.max_context, 0);
  if (!MlaAbsorbedTakes(shape) || shape.value_dim > kMlaMostValueDim) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the CUDA backend has no room for latent attention of rank ", shape.latent_dim, " with ",
        shape.rope_dim, " rotated dims and values of ", shape.value_dim, ": use --device cpu"));
  }
  auto mla = std::make_unique<CudaMla>(queue, limits, multiprocessors);
  QUIRE_RETURN_IF_ERROR(mla->TakeMemory(memory));
  return mla;
}

}  // namespace quire
