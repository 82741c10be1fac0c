// The CUDA kernels of prompt rows and encoders, emulated, behind attention.h.
#ifndef QUIRE_TESTS_ATTENTION_CUDA_GQA_HARNESS_H_
#define QUIRE_TESTS_ATTENTION_CUDA_GQA_HARNESS_H_

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "attention/attention.h"
#include "attention/cuda/launch_gqa_prefill.h"
#include "attention/cuda/make_gqa_args.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "gtest/gtest.h"
#include "tests/attention/cuda_gqa_bounds.h"
#include "tests/attention/emulated_kv.h"
#include "tests/attention/gqa_decode_harness.h"
#include "tests/attention/gqa_harness.h"
#include "tests/testing/emulated_matrix.h"

namespace quire::testing {

inline GqaPrefillArgs PromptArgs(const GqaParams& params, const AttentionBatch& batch,
                                 int64_t first_row) {
  GqaPrefillArgs args = MakeGqaPrefillArgs(params, batch);
  args.first_row = first_row;
  return args;
}

class EmulatedPrompts : public Attention {
 public:
  explicit EmulatedPrompts(const emulation::EmulationOptions& options = {}) : options_(options) {}

  // Rows before it are not attended; the begin of an entry.
  void set_first_row(int64_t first_row) { first_row_ = first_row; }

  void Gqa(const GqaParams& params, const AttentionBatch& batch) override {
    if (params.out.rows == 0) return;
    EmulatedArguments arguments;
    AddArguments(params, batch, arguments);
    arguments.Add("kv_len", batch.kv_len);
    const EmulatedPages pages(params.kv);
    Run(params.out, first_row_, [&](DeviceQueue& queue) {
      cuda::GqaPrefill(queue, PromptArgs(params, batch, first_row_));
    });
  }

  void Encode(const EncoderParams& params, DeviceArray<const int32_t> query_start) override {
    const int64_t sequences = query_start.size - 1;
    GqaParams paged;  // what they have in common
    paged.qkv = params.qkv;
    paged.shape = params.shape;
    paged.scores = params.scores;
    const int32_t last = query_start.data[sequences] - query_start.data[sequences - 1] - 1;
    const std::vector<int32_t> positions(params.qkv.rows, last);
    AttentionBatch batch;
    batch.query_start = query_start;
    batch.positions = {positions.data(), params.qkv.rows};
    EmulatedArguments arguments;
    AddArguments(paged, batch, arguments);
    Run(params.out, 0, [&](DeviceQueue& queue) {
      cuda::Encode(queue, {.qkv = params.qkv,
                           .out = params.out,
                           .shape = MakeGqaShapeArgs(params.shape),
                           .scores = MakeScoreRuleArgs(params.scores, params.scale),
                           .num_sequences = static_cast<int>(sequences),
                           .query_start = query_start.data});
    });
  }

  void NormRopeWrite(const NormRopeWriteParams&, const AttentionBatch&) override { Absent(); }
  void NormRope(const NormRopeWriteParams&, DeviceArray<const int32_t>) override { Absent(); }
  void CopyPages(const PagedKvView&, absl::Span<const std::pair<BlockId, BlockId>>) override {
    Absent();
  }

 private:
  static void Absent() { ADD_FAILURE() << "not one of these kernels"; }

  // Everything of `out` from row `first` on is written, and nothing else is touched.
  template <typename Launch>
  void Run(const DeviceMatrix& out, int64_t first, Launch launch) {
    const EmulatedMatrix written("out", out.Rows(first, out.rows - first), EmulatedMatrix::kOutput);
    emulation::EmulatedQueue queue(options_);
    launch(queue);
    ASSERT_TRUE(queue.Finish().ok()) << queue.Finish();
    EXPECT_TRUE(written.IsWritten());
  }

  emulation::EmulationOptions options_;
  int64_t first_row_ = 0;
};

// Emulated threads are slow: whether `rows` rows over `keys` keys each are few enough. Products
// take whole fragments of 16 rows, and are faster than the rest.
inline bool IsSmall(const GqaShape& shape, const std::vector<KvEntry>& entries, DType dtype) {
  const bool products = BoundOf(shape, dtype, dtype) == CpuIsa::kAvx512Bf16;
  int64_t pairs = 0;
  for (const auto& [rows, tokens] : entries) {
    const int64_t keys = shape.window > 0 ? std::min(tokens, shape.window + rows) : tokens;
    pairs += (products ? (rows + 15) / 16 * 16 : rows) * keys;
  }
  return shape.num_heads * pairs * (shape.head_dim + shape.value_dim) <=
         (products ? 8'000'000 : 1'500'000);
}

// Those that are, as products at least: a GPU runs the others.
template <typename Case>
std::vector<const Case*> SmallOf(std::vector<const Case*> cases) {
  std::erase_if(cases,
                [](const Case* c) { return !IsSmall(c->shape, c->entries, DType::kBFloat16); });
  return cases;
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_ATTENTION_CUDA_GQA_HARNESS_H_
