// The CUDA backend of attention.h, over the emulation.
#include "attention/cuda/cuda_attention.h"

#include <cstdint>
#include <memory>

#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/attention/gqa_decode_harness.h"

namespace quire::testing {
namespace {

// Gqa of CudaAttention with the first rows as generated ones.
class EmulatedAttention : public EmulatedDecode {
 public:
  EmulatedAttention(int64_t num_generated, int64_t workspace_bytes)
      : num_generated_(num_generated), workspace_bytes_(workspace_bytes) {}

  void Gqa(const GqaParams& params, const AttentionBatch& batch) override {
    EmulatedArguments arguments;
    AddArguments(params, batch, arguments);
    arguments.Add("kv_len", batch.kv_len);
    const EmulatedPages pages(params.kv);
    const EmulatedMatrix out("out", params.out, EmulatedMatrix::kOutput);
    emulation::EmulatedMemory memory;
    emulation::EmulatedQueue queue({.detect_races = false});
    const auto attention = MakeCudaAttention(queue, memory,
                                             {.max_rows = params.qkv.rows,
                                              .num_heads = params.shape.num_heads,
                                              .head_dim = params.shape.head_dim,
                                              .value_dim = params.shape.value_dim,
                                              .max_splits = 4,
                                              .workspace_bytes = workspace_bytes_});
    ASSERT_TRUE(attention.ok()) << attention.status();
    GqaParams split = params;
    split.num_generated = num_generated_;
    (*attention)->Gqa(split, batch);
    queue.Wait();
    EXPECT_TRUE(out.IsWritten());
  }

 private:
  int64_t num_generated_;
  int64_t workspace_bytes_;
};

// Of seven rows the first four are generated: of entries 0, 1 (two rows) and 2.
TEST(CudaAttention, RowsThatTakeTurnsHaveTheSameBits) {
  for (int window : {0, 40}) {
    PagedKv kv({4, 2, 64, 64, window}, 16, DType::kBFloat16, {{1, 33}, {2, 520}, {1, 7}, {3, 50}});
    kv.FillNormal(3);
    const HostMatrix qkv = DecodeQueries(kv, DType::kBFloat16);
    EmulatedAttention together(4, int64_t{1} << 20);
    EmulatedAttention in_turns(4, 1);  // one row at a time
    const HostMatrix out = RunGqa(together, kv, qkv);
    EXPECT_TRUE(RunGqa(in_turns, kv, qkv).SameBits(out)) << "window " << window;
    EXPECT_TRUE(NearReference(out, kv, qkv)) << "window " << window;
  }
}

// A row's kernel is its kind's, whatever else is in the batch.
TEST(CudaAttention, EachKindOfRowsHasItsKernel) {
  PagedKv kv({4, 2, 64, 64, 0}, 16, DType::kBFloat16, {{2, 20}, {3, 50}});
  kv.FillNormal(3);
  const HostMatrix qkv = DecodeQueries(kv, DType::kBFloat16);
  EmulatedAttention prompts(0, 1 << 20), mixed(2, 1 << 20), generated(5, 1 << 20);
  const HostMatrix of_prompts = RunGqa(prompts, kv, qkv);
  const HostMatrix of_both = RunGqa(mixed, kv, qkv);
  const HostMatrix of_generated = RunGqa(generated, kv, qkv);
  for (int64_t row = 0; row < 5; ++row) {
    EXPECT_TRUE(of_both.SameRowBits(row, row < 2 ? of_generated : of_prompts, row)) << row;
  }
}

TEST(CudaAttention, HeadsWiderThanItsKernelsAreRefused) {
  emulation::EmulatedMemory memory;
  emulation::EmulatedQueue queue;
  EXPECT_TRUE(MakeCudaAttention(queue, memory, {.head_dim = 256, .value_dim = 256}).ok());
  const auto refused = MakeCudaAttention(queue, memory, {.head_dim = 258, .value_dim = 64});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), ::testing::HasSubstr("258"));
}

}  // namespace
}  // namespace quire::testing
