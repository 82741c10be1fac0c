// Decode attention's kernels, emulated, against the reference, over a cache whose unseen memory
// nobody has written and whose unseen block ids are wild. With it the law: a row's bits depend on
// its query and on what it sees.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/gqa_cases.h"
#include "tests/attention/gqa_decode_harness.h"
#include "tests/attention/gqa_harness.h"

namespace quire {
namespace {

using ::quire::testing::DecodeMatchesReference;
using ::quire::testing::DecodeQueries;
using ::quire::testing::DecodeRun;
using ::quire::testing::EmulatedDecode;
using ::quire::testing::FewRows;
using ::quire::testing::GqaCase;
using ::quire::testing::HostMatrix;
using ::quire::testing::KvEntry;
using ::quire::testing::PagedKv;
using ::quire::testing::RunDecode;
using ::quire::testing::RunGqa;

constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat32};

class CudaGqaDecodeCaseTest : public ::testing::TestWithParam<const GqaCase*> {};

TEST_P(CudaGqaDecodeCaseTest, MatchesTheReference) {
  const GqaCase& c = *GetParam();
  for (DType dtype : kTypes) {
    for (bool drop_old_pages : {true, false}) {
      PagedKv kv(c.shape, c.block_tokens, dtype, FewRows(c.entries, 2, 4), 7, drop_old_pages);
      kv.FillNormal(8);
      const DecodeRun run{.detect_races = dtype == DType::kBFloat16};
      EXPECT_TRUE(DecodeMatchesReference(kv, DecodeQueries(kv, dtype), {}, run))
          << DTypeName(dtype);
      if (c.shape.window == 0) break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaGqaDecodeCaseTest, ::testing::ValuesIn(testing::GqaCases()),
                         [](const auto& info) { return info.param->name; });

TEST(CudaGqaDecode, EveryPageSizeGivesTheSameBits) {
  std::vector<HostMatrix> results;
  for (int block_tokens : {16, 32, 64}) {
    PagedKv kv({4, 2, 64, 64, 0}, block_tokens, DType::kBFloat16, {{2, 600}, {1, 130}},
               /*seed=*/block_tokens);
    // The same numbers, wherever their pages lie.
    for (int64_t e = 0; e < 2; ++e) {
      for (int64_t position = 0; position < kv.batch().kv_len.data[e]; ++position) {
        for (int i = 0; i < 2 * 64; ++i) {
          const auto at = static_cast<float>(position * 128 + i);
          kv.SetKey(e, position, i / 64, i % 64, std::sin(at));
          kv.SetValue(e, position, i / 64, i % 64, std::cos(at));
        }
      }
    }
    EmulatedDecode decode;
    results.push_back(RunGqa(decode, kv, DecodeQueries(kv, DType::kBFloat16)));
  }
  EXPECT_TRUE(results[0].SameBits(results[1]));
  EXPECT_TRUE(results[0].SameBits(results[2]));
}

TEST(CudaGqaDecode, TypesOfRowsAndCacheMayDiffer) {
  for (DType cache : kTypes) {
    for (DType act : kTypes) {
      PagedKv kv({6, 2, 64, 64, 0}, 16, cache, {{2, 50}});
      kv.FillNormal(3);
      EXPECT_TRUE(DecodeMatchesReference(kv, DecodeQueries(kv, act)));
    }
  }
}

TEST(CudaGqaDecode, AlignmentDoesNotMatter) {
  for (DType dtype : kTypes) {
    PagedKv kv({4, 2, 64, 32, 0}, 16, dtype, {{3, 50}});
    kv.FillNormal(3);
    const GqaShape& shape = kv.shape();
    const HostMatrix aligned = DecodeQueries(kv, dtype, /*gap=*/8);
    HostMatrix odd(dtype, 3, shape.qkv_width(), shape.qkv_width() + 1);
    for (int64_t r = 0; r < 3; ++r) {
      for (int64_t c = 0; c < shape.qkv_width(); ++c) odd.set(r, c, aligned.at(r, c));
    }
    HostMatrix want(dtype, 3, shape.out_width());
    HostMatrix out(dtype, 3, shape.out_width(), shape.out_width() + 1);
    RunDecode({aligned.view(), want.view(), shape, 0.1F, kv.view()}, kv.batch(), {});
    RunDecode({odd.view(), out.view(), shape, 0.1F, kv.view()}, kv.batch(), {});
    for (int64_t r = 0; r < 3; ++r) EXPECT_TRUE(out.SameRowBits(r, want, r));
  }
}

TEST(CudaGqaDecode, LargeScoresDoNotOverflow) {
  for (DType dtype : kTypes) {
    PagedKv kv({2, 1, 64, 64, 0}, 16, dtype, {{1, 70}});
    kv.FillNormal(3);
    HostMatrix qkv(dtype, 1, kv.shape().qkv_width());
    qkv.FillNormal(1, 1000.0F);  // one key takes it all
    EmulatedDecode decode;
    const HostMatrix out = RunGqa(decode, kv, qkv);
    const HostMatrix want = RunGqa(*MakeReferenceAttention(), kv, qkv);
    EXPECT_TRUE(testing::Near(out, want, [](int64_t, int64_t) { return 0.05; }));
  }
}

TEST(CudaGqaDecode, ARowThatSeesNothingIsZero) {
  const GqaShape shape{4, 2, 64, 64, 0};
  for (DType dtype : kTypes) {
    PagedKv kv(shape, 16, dtype, {{1, 1}});
    HostMatrix qkv(dtype, 1, shape.qkv_width());
    qkv.FillNormal(1);
    HostMatrix out(dtype, 1, 256);
    AttentionBatch batch = kv.batch();
    const int32_t kv_len[] = {0};
    const int32_t positions[] = {-1};
    batch.kv_len.data = kv_len;
    batch.positions.data = positions;
    RunDecode({qkv.view(), out.view(), shape, 0.1F, kv.view()}, batch, {.more_splits = 1});
    for (int64_t i = 0; i < 256; ++i) EXPECT_EQ(out.at(0, i), 0.0F);
  }
}

TEST(CudaGqaDecode, WhatRowsDoNotSeeDoesNotReachThem) {
  for (DType dtype : kTypes) {
    for (int window : {0, 20}) {
      PagedKv kv({3, 1, 40, 40, window}, 16, dtype, {{30, 96}}, 1, false);
      kv.FillNormal(1);
      const HostMatrix qkv = DecodeQueries(kv, dtype);
      EmulatedDecode decode({.detect_races = false});
      const HostMatrix clean = RunGqa(decode, kv, qkv);
      const float bad[] = {NAN, INFINITY, -INFINITY};
      for (int i = 0; i < 3; ++i) {  // at positions 71, 80, 89: odd, even, odd
        kv.SetValue(0, 71 + 9 * i, 0, 3, bad[i]);
        kv.SetKey(0, 71 + 9 * i, 0, 5, bad[i]);
      }
      const HostMatrix out = RunGqa(decode, kv, qkv);
      for (int32_t r = 0; r < 30; ++r) {
        const int32_t position = 66 + r;
        bool sees = false;
        for (int32_t at : {71, 80, 89}) {
          sees = sees || (at <= position && (window == 0 || at > position - window));
        }
        EXPECT_EQ(out.SameRowBits(r, clean, r), !sees) << r << " window " << window;
      }
    }
  }
}

// The rows behind those that are asked for are a prefill's.
TEST(CudaGqaDecode, RowsBehindTheFirstAreLeftAlone) {
  PagedKv kv({4, 2, 64, 64, 0}, 16, DType::kBFloat16, {{1, 33}, {2, 20}, {5, 40}});
  kv.FillNormal(3);
  const HostMatrix qkv = DecodeQueries(kv, DType::kBFloat16);
  EmulatedDecode decode;
  const HostMatrix whole = RunGqa(decode, kv, qkv);
  EmulatedDecode first({.first_rows = 3});
  const HostMatrix out = RunGqa(first, kv, qkv);
  for (int64_t r = 0; r < 3; ++r) EXPECT_TRUE(out.SameRowBits(r, whole, r));
  for (int64_t r = 3; r < 8; ++r) {
    for (int64_t c = 0; c < 256; ++c) ASSERT_TRUE(std::isnan(out.at(r, c)));
  }
  EmulatedDecode none({.first_rows = 0});
  const HostMatrix nothing = RunGqa(none, kv, qkv);
  EXPECT_TRUE(std::isnan(nothing.at(0, 0)));
}

// More rows than the plan's block has threads, one of them with two splits.
TEST(CudaGqaDecode, ManyRowsFindTheirEntries) {
  std::vector<KvEntry> entries;
  for (int32_t e = 0; e < 270; ++e) entries.push_back({e % 3, e == 150 ? 520 : e % 3 + e % 7});
  PagedKv kv({1, 1, 2, 2, 0}, 16, DType::kBFloat16, entries);
  ASSERT_GT(kv.num_tokens(), 256);
  kv.FillNormal(3);
  EXPECT_TRUE(DecodeMatchesReference(kv, DecodeQueries(kv, DType::kBFloat16), {},
                                     {.seed = 1, .max_blocks = 5}));
}

TEST(CudaGqaDecode, MoreSplitsThanLanesAreCombined) {
  PagedKv kv({1, 1, 2, 2, 0}, 64, DType::kBFloat16, {{1, 33 * kGqaDecodeSplit + 5}});
  kv.FillNormal(3);
  EXPECT_TRUE(DecodeMatchesReference(kv, DecodeQueries(kv, DType::kBFloat16), {},
                                     {.max_blocks = 3, .detect_races = false}));
}

TEST(CudaGqaDecode, MaxSplitsAreReachedAndNotExceeded) {
  for (int window : {0, 1, 2, 511, 512, 513, 514, 1025, 5000}) {
    for (int prefix : {0, 1, 512, 513}) {
      int64_t most = 0;
      for (int64_t position = 0; position < 4000; ++position) {
        const int64_t begin = window > 0 ? std::max<int64_t>(0, position - window + 1) : 0;
        const int64_t splits = position / kGqaDecodeSplit - begin / kGqaDecodeSplit + 1;
        most = std::max(most, splits + (prefix + kGqaDecodeSplit - 1) / kGqaDecodeSplit);
      }
      EXPECT_EQ(GqaDecodeMaxSplits(4000, window, prefix), most) << window << " " << prefix;
    }
  }
}

}  // namespace
}  // namespace quire
