// Runs decode attention's kernels in the emulation, as a backend would on the device.
#ifndef QUIRE_TESTS_ATTENTION_GQA_DECODE_HARNESS_H_
#define QUIRE_TESTS_ATTENTION_GQA_DECODE_HARNESS_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "attention/cuda/gqa_decode_args.h"
#include "attention/cuda/launch_decode_plan.h"
#include "attention/cuda/launch_gqa_decode.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "core/cuda/emulation/global_buffer.h"
#include "gtest/gtest.h"
#include "tests/attention/emulated_kv.h"
#include "tests/attention/gqa_harness.h"

namespace quire::testing {

// How the same rows may be run: none of it may change a bit.
struct DecodeRun {
  uint32_t seed = 0;  // of the threads' order; then three blocks run side by side
  int64_t more_splits = 0;
  int64_t max_blocks = 0;
  int64_t first_rows = -1;   // of the batch; -1: all
  bool detect_races = true;  // takes most of the time
  size_t max_shared_bytes = kMaxSharedBytes;
};

// The pool of a PagedKv: what its bytes 0xff are nobody has written.
class EmulatedPages {
 public:
  explicit EmulatedPages(const PagedKvView& kv)
      : region_("pages", kv.base, PoolBytes(kv), State::kForbidden) {
    const auto bytes = static_cast<int64_t>(DTypeBytes(kv.layout.dtype));
    const uint8_t nothing[] = {0xff, 0xff, 0xff, 0xff};
    for (int64_t block = 0; block < kv.num_blocks; ++block) {
      const int64_t page = block * kv.page_stride_bytes;
      for (int64_t at = page; at < page + PageBytes(kv); at += bytes) {
        const bool written = std::memcmp(static_cast<char*>(kv.base) + at, nothing, bytes) != 0;
        region_.Mark(at, bytes, written ? State::kWritten : State::kUnwritten);
      }
    }
  }

 private:
  using State = emulation::GlobalRegion::ByteState;

  static int64_t PageBytes(const PagedKvView& kv) {
    return static_cast<int64_t>(kv.layout.page_bytes());
  }
  static int64_t PoolBytes(const PagedKvView& kv) {
    return (kv.num_blocks - 1) * kv.page_stride_bytes + PageBytes(kv);
  }

  emulation::GlobalRegion region_;
};

inline DecodePlanArgs PlanArgs(const GqaParams& params, const AttentionBatch& batch,
                               int64_t num_rows) {
  DecodePlanArgs args;
  args.num_rows = num_rows;
  args.split_tokens = kGqaDecodeSplit;
  args.window = params.shape.window;
  args.block_tokens = params.kv.layout.block_tokens;
  args.prefix_tokens = params.prefix.tokens;
  args.prefix_shared = params.prefix.shared;
  args.query_start = batch.query_start;
  args.positions = batch.positions;
  args.table_start = batch.table_start;
  args.first_block = batch.first_block;
  args.prefix_start = batch.prefix_start;
  int64_t longest = 0;
  for (int64_t e = 0; e < batch.kv_len.size; ++e) {
    longest = std::max<int64_t>(longest, batch.kv_len.data[e]);
  }
  args.max_items = args.num_rows * GqaDecodeMaxSplits(longest, args.window, args.prefix_tokens);
  return args;
}

inline GqaDecodeArgs DecodeArgs(const GqaParams& params, const AttentionBatch& batch) {
  GqaDecodeArgs args;
  args.qkv = params.qkv;
  args.q2 = params.prefix.q2;
  args.out = params.out;
  args.num_heads = params.shape.num_heads;
  args.scale = params.scale;
  args.kv = params.kv;
  args.blocks = batch.blocks;
  args.prefix_blocks = params.prefix.shared ? params.prefix.blocks : batch.prefix_blocks;
  args.softcap = params.scores.softcap;
  args.alibi_slopes = params.scores.alibi_slopes;
  args.bias = params.scores.bias.data;
  args.bias_head_stride = params.scores.bias.head_stride;
  args.bias_row_stride = params.scores.bias.row_stride;
  args.sink_logits = params.scores.sink_logits;
  return args;
}

// Attention's device arrays as global memory. What a bias does not hold of rows' keys is NaN.
inline void AddArguments(const GqaParams& params, const AttentionBatch& batch,
                         EmulatedArguments& arguments) {
  arguments.Add("qkv", params.qkv, EmulatedMatrix::kInput);
  arguments.Add("q2", params.prefix.q2, EmulatedMatrix::kInput);
  arguments.Add("query_start", batch.query_start);
  arguments.Add("positions", batch.positions);
  arguments.Add("table_start", batch.table_start);
  arguments.Add("first_block", batch.first_block);
  arguments.Add("prefix_start", batch.prefix_start);
  arguments.Add("blocks", batch.blocks);
  const DeviceArray<const int32_t>& prefix_blocks =
      params.prefix.shared ? params.prefix.blocks : batch.prefix_blocks;
  if (prefix_blocks.size > 0) arguments.Add("prefix_blocks", prefix_blocks);
  const int heads = params.shape.num_heads;
  arguments.Add("alibi_slopes", params.scores.alibi_slopes, heads);
  arguments.Add("sink_logits", params.scores.sink_logits, heads);
  const AttentionBias& bias = params.scores.bias;
  if (bias.data == nullptr) return;
  const int64_t rows = params.qkv.rows;
  arguments.Add("bias", bias.data,
                (bias.head_stride > 0 ? heads - 1 : 0) * bias.head_stride +
                    (rows - 1) * bias.row_stride + batch.positions.data[rows - 1] + 1);
}

// Decode attention of the first rows of a batch into `params.out`, in which nothing else is
// written.
inline void RunDecode(const GqaParams& params, const AttentionBatch& batch, const DecodeRun& run) {
  const int64_t rows = run.first_rows < 0 ? params.qkv.rows : run.first_rows;
  GqaDecodeArgs args = DecodeArgs(params, batch);
  args.plan = PlanArgs(params, batch, rows);
  args.plan.max_items += rows * run.more_splits;
  args.max_blocks = run.max_blocks;
  const emulation::GlobalBuffer<int32_t> plan("plan", DecodePlanSize(rows, args.plan.max_items));
  const emulation::GlobalBuffer<float> workspace(
      "workspace",
      GqaDecodeWorkspaceSize(args.plan.max_items, args.num_heads, params.shape.value_dim));
  args.plan.plan = plan.data();
  args.workspace = workspace.data();

  EmulatedArguments arguments;
  AddArguments(params, batch, arguments);
  const EmulatedPages pages(params.kv);
  const EmulatedMatrix out("out", params.out.Rows(0, rows), EmulatedMatrix::kOutput);
  emulation::EmulatedQueue queue({.seed = run.seed,
                                  .resident_blocks = run.seed == 0 ? 1 : 3,
                                  .detect_races = run.detect_races,
                                  .max_shared_bytes = run.max_shared_bytes});
  cuda::PlanDecode(queue, args.plan);
  cuda::GqaDecode(queue, args);
  ASSERT_TRUE(queue.Finish().ok()) << queue.Finish();
  EXPECT_TRUE(out.IsWritten());
}

// An Attention of which RunGqa and RunGqaSlice (gqa_harness.h) need Gqa alone.
class EmulatedDecode : public Attention {
 public:
  explicit EmulatedDecode(const DecodeRun& run = {}) : run_(run) {}

  void Gqa(const GqaParams& params, const AttentionBatch& batch) override {
    RunDecode(params, batch, run_);
  }
  void NormRopeWrite(const NormRopeWriteParams&, const AttentionBatch&) override { Unused(); }
  void NormRope(const NormRopeWriteParams&, DeviceArray<const int32_t>) override { Unused(); }
  void Encode(const EncoderParams&, DeviceArray<const int32_t>) override { Unused(); }
  void CopyPages(const PagedKvView&, absl::Span<const std::pair<BlockId, BlockId> >) override {
    Unused();
  }

 private:
  static void Unused() { ADD_FAILURE() << "decode attention alone"; }

  DecodeRun run_;
};

// Queries, and the keys and values beside them.
inline HostMatrix DecodeQueries(const PagedKv& kv, DType dtype, int64_t gap = 6) {
  const int64_t width = kv.shape().qkv_width();
  HostMatrix qkv(dtype, kv.num_tokens(), width, width + gap);
  qkv.FillNormal(9);
  return qkv;
}

// How far decode attention may be from the reference: as the CPU's, which multiplies pairs of bf16
// too where queries and cache are bf16.
inline ::testing::AssertionResult NearReference(const HostMatrix& out, const PagedKv& kv,
                                                const HostMatrix& qkv,
                                                const GqaExtras& extras = {}) {
  const DType act = qkv.view().dtype;
  const HostMatrix want = RunGqa(*MakeReferenceAttention(), kv, qkv, extras);
  const CpuIsa like = act == DType::kBFloat16 ? CpuIsa::kAvx512Bf16 : CpuIsa::kPortable;
  return Near(out, want,
              [&](int64_t r, int64_t c) { return GqaBound(like, kv, act, want.at(r, c)); });
}

inline ::testing::AssertionResult DecodeMatchesReference(const PagedKv& kv, const HostMatrix& qkv,
                                                         const GqaExtras& extras = {},
                                                         const DecodeRun& run = {}) {
  EmulatedDecode decode(run);
  return NearReference(RunGqa(decode, kv, qkv, extras), kv, qkv, extras);
}

// KV heads are blocks of their own: two are as good as many.
inline GqaShape FewHeads(GqaShape shape) {
  const int kv_heads = std::min(shape.num_kv_heads, 2);
  shape.num_heads = shape.group() * kv_heads;
  shape.num_kv_heads = kv_heads;
  return shape;
}

// Few rows of an entry: each is attended by itself, and the emulation takes its time.
inline std::vector<KvEntry> FewRows(std::vector<KvEntry> entries, int32_t rows,
                                    size_t most_entries) {
  if (entries.size() > most_entries) entries.resize(most_entries);
  for (KvEntry& entry : entries) entry.query_tokens = std::min(entry.query_tokens, rows);
  return entries;
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_GQA_DECODE_HARNESS_H_
