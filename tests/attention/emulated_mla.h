// Latent attention by the emulated CUDA kernels, as tests of mla.h drive a backend. Cache rows that
// no row of the batch sees, and their block ids, are memory that may not be touched.
#ifndef QUIRE_TESTS_ATTENTION_EMULATED_MLA_H_
#define QUIRE_TESTS_ATTENTION_EMULATED_MLA_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "attention/cuda/launch_decode_plan.h"
#include "attention/cuda/launch_mla.h"
#include "attention/cuda/mla_args.h"
#include "attention/cuda/mla_chunks.h"
#include "attention/mla_checks.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/global_memory.h"
#include "gtest/gtest.h"
#include "tests/attention/mla_harness.h"
#include "tests/testing/emulated_matrix.h"

namespace quire::testing {

// How the kernels are driven: none of it may change a bit.
struct MlaDrive {
  bool split_rows = false;  // of the absorbed form
  int64_t max_items = 64;   // of the plan, where split_rows
  int64_t max_blocks = 0;
  int32_t capacity = 512;  // of a chunk of the un-absorbed form
  int64_t page_shift = 0;  // bytes by which pages miss a multiple of 16
  int64_t kv_gap = 0;      // between rows of expanded keys
  uint32_t seed = 0;       // of the emulation
  size_t max_shared_bytes = kMaxSharedBytes;
};

// The cache as kernels see it: of pages what the batch's rows see, and their block ids.
class VisibleCache {
 public:
  VisibleCache(const PagedKvView& kv, const AttentionBatch& batch, int64_t shift)
      : pages_("pages", kv.num_blocks * kv.page_stride_bytes + shift),
        blocks_("blocks", const_cast<int32_t*>(batch.blocks.data),
                batch.blocks.size * int64_t{sizeof(int32_t)}, State::kForbidden) {
    const KvPageLayout& layout = kv.layout;
    const int64_t last = (kv.num_blocks - 1) * kv.page_stride_bytes;
    std::memcpy(pages_.data() + shift, kv.base, last + layout.page_bytes());
    args_ = {.base = pages_.data() + shift,
             .page_stride_bytes = kv.page_stride_bytes,
             .block_tokens = layout.block_tokens,
             .dtype = layout.dtype};
    for (int64_t e = 0; e < batch.kv_len.size; ++e) {
      const int32_t table = batch.table_start.data[e];
      for (int64_t p = 0; p < batch.kv_len.data[e]; ++p) {
        const int64_t entry = table + p / layout.block_tokens;
        blocks_.Mark(entry * int64_t{sizeof(int32_t)}, sizeof(int32_t), State::kWritten);
        const int64_t page = shift + batch.blocks.data[entry] * kv.page_stride_bytes;
        for (int d = 0; d < layout.head_dim; d += layout.pair()) {
          const int64_t at = layout.KeyOffset(0, static_cast<int>(p % layout.block_tokens), d) *
                             static_cast<int64_t>(DTypeBytes(layout.dtype));
          pages_.Mark(page + at, 4, State::kWritten);
        }
      }
    }
  }

  const MlaPages& args() const { return args_; }

 private:
  using State = emulation::GlobalRegion::ByteState;

  // Bytes that are nobody's until marked.
  class Bytes {
   public:
    Bytes(std::string name, int64_t count)
        : storage_(std::make_unique<char[]>(count + 16)),
          data_(storage_.get() + (16 - reinterpret_cast<uintptr_t>(storage_.get()) % 16) % 16),
          region_(std::move(name), data_, count, State::kForbidden) {}
    char* data() const { return data_; }
    void Mark(int64_t begin, int64_t bytes, State state) { region_.Mark(begin, bytes, state); }

   private:
    std::unique_ptr<char[]> storage_;
    char* data_;
    emulation::GlobalRegion region_;
  };

  Bytes pages_;
  emulation::GlobalRegion blocks_;
  MlaPages args_;
};

// Latent attention by the emulated kernels.
class EmulatedMla : public Mla {
 public:
  explicit EmulatedMla(const MlaDrive& drive) : drive_(drive) {}

  void NormRopeWrite(const MlaNormRopeWriteParams&, const AttentionBatch&) override {
    FAIL() << "is not of these kernels";
  }

  void Absorbed(const MlaAbsorbedParams& params, const AttentionBatch& batch) override {
    CheckMlaAbsorbed(params, batch);
    ASSERT_TRUE(MlaAbsorbedTakes(params.shape));
    const VisibleCache cache(params.kv, batch, drive_.page_shift);
    const EmulatedMatrix q_latent("q_latent", params.q_latent, EmulatedMatrix::kInput);
    const EmulatedMatrix q("q", params.q, EmulatedMatrix::kInput);
    const EmulatedMatrix out("out", params.out, EmulatedMatrix::kOutput);
    MlaAbsorbedArgs args{.q_latent = params.q_latent,
                         .q = params.q,
                         .out = params.out,
                         .first_row = params.first_row,
                         .shape = params.shape,
                         .scale = params.scale,
                         .pages = cache.args(),
                         .query_start = batch.query_start,
                         .kv_len = batch.kv_len,
                         .table_start = batch.table_start,
                         .blocks = batch.blocks};
    const emulation::GlobalRegion query_start = Input("query_start", batch.query_start);
    const emulation::GlobalRegion kv_len = Input("kv_len", batch.kv_len);
    const emulation::GlobalRegion table_start = Input("table_start", batch.table_start);
    const emulation::GlobalRegion positions = Input("positions", batch.positions);
    const emulation::GlobalRegion first_block = Input("first_block", batch.first_block);
    std::optional<emulation::GlobalBuffer<float>> workspace;
    std::optional<emulation::GlobalBuffer<int32_t>> plan;
    emulation::EmulatedQueue queue = Queue();
    if (drive_.split_rows) {
      const int64_t rows = params.out.rows;
      workspace.emplace("workspace",
                        MlaAbsorbedWorkspaceBytes(drive_.max_items, params.shape) / sizeof(float));
      plan.emplace("plan", DecodePlanSize(rows, drive_.max_items));
      args.split_rows = true;
      args.max_blocks = drive_.max_blocks;
      args.workspace = workspace->data();
      args.plan = {.first_row = params.first_row,
                   .num_rows = rows,
                   .split_tokens = kMlaSplitTokens,
                   .max_items = drive_.max_items,
                   .may_be_more = true,
                   .block_tokens = params.kv.layout.block_tokens,
                   .query_start = batch.query_start,
                   .positions = batch.positions,
                   .table_start = batch.table_start,
                   .first_block = batch.first_block,
                   .plan = plan->data()};
      cuda::PlanDecode(queue, args.plan);
    }
    cuda::MlaAbsorbed(queue, args);
    ASSERT_TRUE(queue.Finish().ok()) << queue.Finish();
    EXPECT_TRUE(out.IsWritten());
  }

  void Prefill(const MlaPrefillParams& params, const AttentionBatch& batch,
               MlaExpand expand) override {
    CheckMlaPrefill(params, batch);
    const MlaShape& shape = params.shape;
    const VisibleCache cache(params.kv, batch, drive_.page_shift);
    const EmulatedMatrix q("q", params.q, EmulatedMatrix::kInput);
    const EmulatedMatrix out("out", params.out, EmulatedMatrix::kOutput);
    emulation::GlobalBuffer<float> states(
        "states", MlaPrefillStateBytes(params.q.rows, shape) / sizeof(float));
    ForEachMlaChunk({.query_start = batch.query_start.data,
                     .kv_len = batch.kv_len.data,
                     .table_start = batch.table_start.data,
                     .entries = batch.kv_len.size},
                    MlaEntryOfRow(batch, params.first_row), drive_.capacity,
                    [&](const MlaPieces& pieces) {
                      HostMatrix latent(params.kv.layout.dtype, pieces.rows, shape.latent_dim);
                      HostMatrix kv(params.kv.layout.dtype, pieces.rows, shape.expanded_width(),
                                    shape.expanded_width() + drive_.kv_gap);
                      Gather({.pieces = pieces,
                              .pages = cache.args(),
                              .blocks = batch.blocks,
                              .latent = latent.view()});
                      expand(latent.view(), kv.view());
                      const EmulatedMatrix kv_memory("kv", kv.view(), EmulatedMatrix::kInput);
                      emulation::EmulatedQueue queue = Queue();
                      cuda::MlaPrefill(queue, {.pieces = pieces,
                                               .q = params.q,
                                               .out = params.out,
                                               .shape = shape,
                                               .scale = params.scale,
                                               .pages = cache.args(),
                                               .blocks = batch.blocks,
                                               .kv = kv.view(),
                                               .states = states.data()});
                      ASSERT_TRUE(queue.Finish().ok()) << queue.Finish();
                    });
    if (params.first_row == 0) {
      EXPECT_TRUE(out.IsWritten());
    }
  }

 private:
  template <typename T>
  static emulation::GlobalRegion Input(const char* name, DeviceArray<const T> array) {
    return emulation::GlobalRegion(name, const_cast<T*>(array.data),
                                   array.size * int64_t{sizeof(T)},
                                   emulation::GlobalRegion::ByteState::kWritten);
  }

  void Gather(const MlaGatherArgs& args) const {
    const EmulatedMatrix latent("latent", args.latent, EmulatedMatrix::kOutput);
    emulation::EmulatedQueue queue = Queue();
    cuda::MlaGather(queue, args);
    ASSERT_TRUE(queue.Finish().ok()) << queue.Finish();
    EXPECT_TRUE(latent.IsWritten());
  }

  emulation::EmulatedQueue Queue() const {
    return emulation::EmulatedQueue({.seed = drive_.seed,
                                     .resident_blocks = drive_.seed == 0 ? 1 : 3,
                                     .max_shared_bytes = drive_.max_shared_bytes});
  }

  MlaDrive drive_;
};

// Small shapes of both forms.
inline constexpr MlaShape kSmallMla = {2, 32, 16, 8, 16};
inline constexpr MlaShape kSmallMlaOfRopes = {2, 34, 10, 6, 14, true};

// Queries of a batch for both forms.
struct MlaQueries {
  HostMatrix latent;
  HostMatrix q;

  MlaQueries(const MlaShape& shape, DType act, DType latent_type, int64_t rows)
      : latent(latent_type, rows, shape.latent_width(), shape.latent_width() + 2),
        q(act, rows, shape.q_width(), shape.q_width() + 6) {
    latent.FillNormal(1);
    q.FillNormal(2);
  }
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_EMULATED_MLA_H_
