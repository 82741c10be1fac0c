// The CUDA attention of prompt rows, emulated, at the edges of pages, tiles and windows, over a
// cache whose unseen memory is unwritten and whose unseen block ids are wild.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/cuda_gqa_harness.h"
#include "tests/attention/gqa_cases.h"
#include "tests/attention/gqa_harness.h"

namespace quire {
namespace {

using ::quire::testing::EmulatedPrompts;
using ::quire::testing::ExpectGqaReference;
using ::quire::testing::GqaCase;
using ::quire::testing::HostMatrix;
using ::quire::testing::IsSmall;
using ::quire::testing::PagedKv;
using ::quire::testing::RunGqa;
using ::quire::testing::RunGqaSlice;

class CudaGqaCaseTest : public ::testing::TestWithParam<const GqaCase*> {};

TEST_P(CudaGqaCaseTest, MatchesTheReference) {
  const GqaCase& c = *GetParam();
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    if (!IsSmall(c.shape, c.entries, dtype)) continue;
    for (bool drop_old_pages : {true, false}) {
      PagedKv kv(c.shape, c.block_tokens, dtype, c.entries, 7, drop_old_pages);
      kv.FillNormal(8);
      EmulatedPrompts prompts(
          {.seed = drop_old_pages ? 0U : 5U, .resident_blocks = 3, .detect_races = false});
      ExpectGqaReference(prompts, kv, dtype);
      if (c.shape.window == 0) break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaGqaCaseTest,
                         ::testing::ValuesIn(testing::SmallOf(testing::GqaCases())),
                         [](const ::testing::TestParamInfo<const GqaCase*>& info) {
                           return std::string(info.param->name);
                         });

// Shorter than the batch of the cases, which is too long for the emulation.
TEST(CudaGqaPrefill, MixedBatch) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    PagedKv kv({2, 1, 64, 64, 0}, 16, dtype, {{1, 33}, {20, 20}, {1, 1}, {5, 100}, {1, 130}});
    kv.FillNormal(8);
    EmulatedPrompts prompts({.seed = 5, .resident_blocks = 3});
    ExpectGqaReference(prompts, kv, dtype);
  }
}

TEST(CudaGqaPrefill, TypesOfRowsAndCacheMayDiffer) {
  for (DType cache : {DType::kBFloat16, DType::kFloat32}) {
    for (DType act : {DType::kBFloat16, DType::kFloat32}) {
      PagedKv kv({4, 2, 64, 64, 0}, 16, cache, {{5, 50}});
      kv.FillNormal(3);
      EmulatedPrompts prompts;
      ExpectGqaReference(prompts, kv, act);
    }
  }
}

// Pages of 2 tokens, and others that hold no whole number of chunks of 4; and rows that do not
// begin where words do.
TEST(CudaGqaPrefill, AnyPageSizeAndRowStride) {
  for (int block_tokens : {2, 6, 12, 24, 128}) {
    for (int64_t gap : {0, 1}) {
      PagedKv kv({2, 1, 40, 34, 20}, block_tokens, DType::kBFloat16, {{9, 77}, {3, 3}});
      kv.FillNormal(3);
      EmulatedPrompts prompts({.seed = 1});
      ExpectGqaReference(prompts, kv, DType::kBFloat16, {}, gap);
    }
  }
}

// More entries than a warp has lanes, of more and of fewer rows than a block's.
TEST(CudaGqaPrefill, ManyEntries) {
  std::vector<testing::KvEntry> entries(70, {1, 2});
  entries[33] = {0, 5};
  entries[40] = {130, 130};
  PagedKv kv({1, 1, 64, 64, 9}, 16, DType::kBFloat16, entries);
  kv.FillNormal(3);
  EmulatedPrompts prompts;
  ExpectGqaReference(prompts, kv, DType::kBFloat16);
}

TEST(CudaGqaPrefill, RowsBeforeTheFirstAreLeftAlone) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    PagedKv kv({2, 1, 64, 64, 0}, 16, dtype, {{1, 33}, {1, 5}, {0, 4}, {30, 30}, {3, 20}});
    kv.FillNormal(3);
    HostMatrix qkv(dtype, kv.num_tokens(), kv.shape().qkv_width());
    qkv.FillNormal(1);
    EmulatedPrompts prompts;
    const HostMatrix all = RunGqa(prompts, kv, qkv);
    for (int64_t first : {2, 32, 35}) {
      prompts.set_first_row(first);
      const HostMatrix out = RunGqa(prompts, kv, qkv);
      const HostMatrix nothing(dtype, 1, kv.shape().out_width());
      for (int64_t t = 0; t < kv.num_tokens(); ++t) {
        EXPECT_TRUE(t < first ? out.SameRowBits(t, nothing, 0) : out.SameRowBits(t, all, t)) << t;
      }
    }
  }
}

TEST(CudaGqaPrefill, ARowThatSeesNothingIsZero) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    const GqaShape shape{4, 2, 64, 64, 0};
    PagedKv kv(shape, 16, dtype, {{1, 1}});
    HostMatrix qkv(dtype, 1, shape.qkv_width());
    qkv.FillNormal(1);
    HostMatrix out(dtype, 1, 256);
    AttentionBatch batch = kv.batch();
    const int32_t kv_len[] = {0};
    const int32_t positions[] = {-1};
    batch.kv_len.data = kv_len;
    batch.positions.data = positions;
    EmulatedPrompts prompts;
    prompts.Gqa({qkv.view(), out.view(), shape, 0.1F, kv.view()}, batch);
    for (int64_t i = 0; i < 256; ++i) EXPECT_EQ(out.at(0, i), 0.0F);
  }
}

TEST(CudaGqaPrefill, LargeScoresDoNotOverflow) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    PagedKv kv({2, 1, 64, 64, 0}, 16, dtype, {{1, 70}});
    kv.FillNormal(3);
    HostMatrix qkv(dtype, 1, kv.shape().qkv_width());
    qkv.FillNormal(1, 1000.0F);  // one key takes it all
    EmulatedPrompts prompts;
    const HostMatrix out = RunGqa(prompts, kv, qkv);
    const HostMatrix want = RunGqa(*MakeReferenceAttention(), kv, qkv);
    EXPECT_TRUE(testing::Near(out, want, [](int64_t, int64_t) { return 0.05; }));
  }
}

// Law: more rows than a block has, in chunks that begin anywhere.
TEST(CudaGqaPrefillBits, ChunksDoNotMatter) {
  for (int window : {0, 77}) {
    PagedKv kv({1, 1, 40, 40, window}, 16, DType::kBFloat16, {{210, 240}}, 1, false);
    kv.FillNormal(1);
    HostMatrix qkv(DType::kBFloat16, 210, kv.shape().qkv_width());
    qkv.FillNormal(2);
    EmulatedPrompts prompts, shuffled({.seed = 3, .resident_blocks = 3, .detect_races = false});
    const HostMatrix whole = RunGqa(prompts, kv, qkv);
    int32_t begin = 0;
    for (int32_t length : {1, 2, 16, 17, 64, 109, 1}) {
      const HostMatrix chunk = RunGqaSlice(shuffled, kv, qkv, 0, begin, begin + length);
      for (int32_t r = 0; r < length; ++r) {
        ASSERT_TRUE(chunk.SameRowBits(r, whole, begin + r))
            << "window " << window << " row " << begin + r << " of a chunk of " << length;
      }
      begin += length;
    }
    EXPECT_EQ(begin, 210);
  }
}

TEST(CudaGqaPrefillBits, NeitherTheBatchNorThePagesMatter) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    PagedKv kv({2, 1, 64, 64, 0}, 32, dtype, {{5, 100}, {1, 150}, {40, 40}, {1, 3}}, 1);
    PagedKv other({2, 1, 64, 64, 0}, 32, dtype, {{5, 100}, {1, 150}, {40, 40}, {1, 3}}, 2);
    kv.FillNormal(1);
    other.FillNormal(1);
    HostMatrix qkv(dtype, kv.num_tokens(), kv.shape().qkv_width());
    qkv.FillNormal(2);
    EmulatedPrompts prompts;
    const HostMatrix all = RunGqa(prompts, kv, qkv);
    for (int64_t e = 0; e < kv.num_entries(); ++e) {
      const int32_t begin = kv.batch().query_start.data[e];
      const int32_t rows = kv.batch().query_start.data[e + 1] - begin;
      const HostMatrix alone = RunGqaSlice(prompts, other, qkv, e, 0, rows);
      for (int32_t r = 0; r < rows; ++r) {
        ASSERT_TRUE(alone.SameRowBits(r, all, begin + r)) << "entry " << e << " row " << r;
      }
    }
  }
}

TEST(CudaGqaPrefillBits, WhatLaterTokensHoldDoesNotReachEarlierRows) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    PagedKv kv({2, 2, 40, 40, 0}, 16, dtype, {{60, 100}});
    kv.FillNormal(1);
    HostMatrix qkv(dtype, 60, kv.shape().qkv_width());
    qkv.FillNormal(2);
    EmulatedPrompts prompts;
    const HostMatrix clean = RunGqa(prompts, kv, qkv);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; ++i) {  // at positions 71, 80, 89: odd, even, odd
      kv.SetValue(0, 71 + 9 * i, i % 2, 3, bad[i]);
      kv.SetKey(0, 71 + 9 * i, i % 2, 5, bad[i]);
    }
    const HostMatrix out = RunGqa(prompts, kv, qkv);
    for (int64_t r = 0; r < 31; ++r) EXPECT_TRUE(out.SameRowBits(r, clean, r)) << r;
    EXPECT_FALSE(out.SameRowBits(31, clean, 31));
  }
}

TEST(CudaGqaPrefillBits, WhatLeftTheWindowDoesNotReachLaterRows) {
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    PagedKv kv({2, 2, 40, 40, 20}, 16, dtype, {{40, 100}});
    kv.FillNormal(1);
    HostMatrix qkv(dtype, 40, kv.shape().qkv_width());
    qkv.FillNormal(2);
    EmulatedPrompts prompts;
    const HostMatrix clean = RunGqa(prompts, kv, qkv);
    kv.SetValue(0, 61, 0, 3, NAN);
    kv.SetValue(0, 64, 1, 3, INFINITY);
    const HostMatrix out = RunGqa(prompts, kv, qkv);
    for (int64_t r = 0; r < 40; ++r) {
      const int64_t position = 60 + r;
      const bool sees = (position >= 61 && position < 81) || (position >= 64 && position < 84);
      EXPECT_EQ(out.SameRowBits(r, clean, r), !sees) << r;
    }
    // Those that see it have the same bits wherever they stand.
    for (int32_t begin : {3, 17, 21}) {
      const HostMatrix chunk = RunGqaSlice(prompts, kv, qkv, 0, begin, 24);
      for (int32_t r = begin; r < 24; ++r) EXPECT_TRUE(chunk.SameRowBits(r - begin, out, r)) << r;
    }
  }
}

}  // namespace
}  // namespace quire
