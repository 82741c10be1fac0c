// The law of attention: a row's bits depend on its query and the keys and values that it sees, and
// on nothing else.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/gqa_harness.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::CpuBackend;
using ::quire::testing::HostMatrix;
using ::quire::testing::PagedKv;
using ::quire::testing::RunGqa;
using ::quire::testing::RunGqaSlice;

constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat32};

class CpuGqaBitsTest : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CpuGqaBitsTest, ChunksDoNotMatter) {
  CpuBackend backend(GetParam());
  for (DType dtype : kTypes) {
    for (int window : {0, 77}) {
      PagedKv kv({6, 2, 40, 40, window}, 16, dtype, {{600, 700}}, 1, false);
      kv.FillNormal(1);
      HostMatrix qkv(dtype, 600, kv.shape().qkv_width());
      qkv.FillNormal(2);
      const HostMatrix whole = RunGqa(backend.attention(), kv, qkv);
      int32_t begin = 0;
      for (int32_t length : {1, 2, 3, 1, 16, 17, 64, 100, 1, 1, 200, 193, 1}) {
        const HostMatrix chunk =
            RunGqaSlice(backend.attention(), kv, qkv, 0, begin, begin + length);
        for (int32_t r = 0; r < length; ++r) {
          ASSERT_TRUE(chunk.SameRowBits(r, whole, begin + r))
              << DTypeName(dtype) << " window " << window << " row " << begin + r
              << " of a chunk of " << length;
        }
        begin += length;
      }
      EXPECT_EQ(begin, 600);
    }
  }
}

TEST_P(CpuGqaBitsTest, TheBatchDoesNotMatter) {
  CpuBackend backend(GetParam());
  for (DType dtype : kTypes) {
    PagedKv kv({4, 2, 64, 64, 0}, 32, dtype, {{5, 600}, {1, 1200}, {40, 40}, {1, 3}});
    kv.FillNormal(1);
    HostMatrix qkv(dtype, kv.num_tokens(), kv.shape().qkv_width());
    qkv.FillNormal(2);
    const HostMatrix all = RunGqa(backend.attention(), kv, qkv);
    const AttentionBatch batch = kv.batch();
    for (int64_t e = 0; e < kv.num_entries(); ++e) {
      const int32_t begin = batch.query_start.data[e];
      const int32_t rows = batch.query_start.data[e + 1] - begin;
      const HostMatrix alone = RunGqaSlice(backend.attention(), kv, qkv, e, 0, rows);
      for (int32_t r = 0; r < rows; ++r) {
        ASSERT_TRUE(alone.SameRowBits(r, all, begin + r)) << "entry " << e << " row " << r;
      }
    }
  }
}

TEST_P(CpuGqaBitsTest, ThreadsDoNotMatter) {
  // One long decode is cut along its keys from two threads on, and not with one.
  PagedKv kv({4, 2, 64, 64, 0}, 64, DType::kBFloat16, {{1, 3000}, {1, 513}});
  kv.FillNormal(1);
  HostMatrix qkv(DType::kBFloat16, 2, kv.shape().qkv_width());
  qkv.FillNormal(2);
  CpuBackend one(GetParam(), 1);
  const HostMatrix want = RunGqa(one.attention(), kv, qkv);
  for (int threads : {2, 3, 8}) {
    CpuBackend backend(GetParam(), threads);
    EXPECT_TRUE(RunGqa(backend.attention(), kv, qkv).SameBits(want)) << threads;
  }
}

TEST_P(CpuGqaBitsTest, WhatLaterTokensHoldDoesNotReachEarlierRows) {
  CpuBackend backend(GetParam());
  for (DType dtype : kTypes) {
    PagedKv kv({4, 2, 40, 40, 0}, 16, dtype, {{60, 100}});
    kv.FillNormal(1);
    HostMatrix qkv(dtype, 60, kv.shape().qkv_width());
    qkv.FillNormal(2);
    const HostMatrix clean = RunGqa(backend.attention(), kv, qkv);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; ++i) {  // at positions 71, 80, 89: odd, even, odd
      kv.SetValue(0, 71 + 9 * i, i % 2, 3, bad[i]);
      kv.SetKey(0, 71 + 9 * i, i % 2, 5, bad[i]);
    }
    const HostMatrix out = RunGqa(backend.attention(), kv, qkv);
    for (int64_t r = 0; r < 31; ++r) EXPECT_TRUE(out.SameRowBits(r, clean, r)) << r;
    EXPECT_FALSE(out.SameRowBits(31, clean, 31));
  }
}

TEST_P(CpuGqaBitsTest, WhatLeftTheWindowDoesNotReachLaterRows) {
  CpuBackend backend(GetParam());
  for (DType dtype : kTypes) {
    PagedKv kv({4, 2, 40, 40, 20}, 16, dtype, {{40, 100}});
    kv.FillNormal(1);
    HostMatrix qkv(dtype, 40, kv.shape().qkv_width());
    qkv.FillNormal(2);
    const HostMatrix clean = RunGqa(backend.attention(), kv, qkv);
    kv.SetValue(0, 61, 0, 3, NAN);
    kv.SetValue(0, 64, 1, 3, INFINITY);
    const HostMatrix out = RunGqa(backend.attention(), kv, qkv);
    for (int64_t r = 0; r < 40; ++r) {
      const int64_t position = 60 + r;
      const bool sees = (position >= 61 && position < 81) || (position >= 64 && position < 84);
      EXPECT_EQ(out.SameRowBits(r, clean, r), !sees) << r;
    }
  }
}

TEST_P(CpuGqaBitsTest, WhereThePagesLieDoesNotMatter) {
  CpuBackend backend(GetParam());
  std::vector<HostMatrix> results;
  for (uint32_t seed : {1U, 2U}) {
    PagedKv kv({4, 2, 64, 64, 0}, 16, DType::kBFloat16, {{9, 300}}, seed);
    kv.FillNormal(5);
    HostMatrix qkv(DType::kBFloat16, 9, kv.shape().qkv_width());
    qkv.FillNormal(2);
    results.push_back(RunGqa(backend.attention(), kv, qkv));
  }
  EXPECT_TRUE(results[0].SameBits(results[1]));
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuGqaBitsTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
