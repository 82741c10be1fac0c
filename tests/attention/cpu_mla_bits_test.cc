// The law of attention, for the latent forms: a row's bits depend on its query and on the cache
// rows that it sees, and on nothing else.
#include <cmath>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/mla_harness.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::CacheShape;
using ::quire::testing::CpuMlaBackend;
using ::quire::testing::HostMatrix;
using ::quire::testing::PagedKv;
using ::quire::testing::RunAbsorbed;
using ::quire::testing::RunPrefill;
using ::quire::testing::UpProjection;

constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat32};
constexpr MlaShape kShape = {3, 32, 16, 8, 16};

// Queries of a whole batch in both forms.
struct Queries {
  HostMatrix latent;
  HostMatrix q;

  Queries(DType dtype, const PagedKv& kv)
      : latent(dtype, kv.num_tokens(), kShape.latent_width()),
        q(dtype, kv.num_tokens(), kShape.q_width()) {
    latent.FillNormal(1);
    q.FillNormal(2);
  }
};

class CpuMlaBitsTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  // Rows [begin, end) of entry `e` alone in each form are those of the whole batch.
  static void ExpectSameRows(CpuMlaBackend& backend, const PagedKv& kv, const Queries& queries,
                             int64_t e, int32_t begin, int32_t end, const HostMatrix& absorbed,
                             const HostMatrix& prefilled) {
    PagedKv::SliceStorage storage;
    const AttentionBatch batch = kv.Slice(e, begin, end, storage);
    const int64_t first = kv.batch().query_start.data[e] + begin;
    const DeviceMatrix q = queries.q.view().Rows(first, end - begin);
    UpProjection projection(kShape);
    const HostMatrix a = RunAbsorbed(backend.mla(), kShape, kv, batch,
                                     queries.latent.view().Rows(first, end - begin), q);
    const HostMatrix p = RunPrefill(backend.mla(), kShape, kv, batch, q, projection);
    for (int32_t r = 0; r < end - begin; ++r) {
      ASSERT_TRUE(a.SameRowBits(r, absorbed, first + r)) << "absorbed, entry " << e << " row " << r;
      ASSERT_TRUE(p.SameRowBits(r, prefilled, first + r)) << "prefill, entry " << e << " row " << r;
    }
  }
};

TEST_P(CpuMlaBitsTest, ChunksDoNotMatter) {
  for (DType dtype : kTypes) {
    CpuMlaBackend backend(GetParam(), kShape, dtype);
    PagedKv kv(CacheShape(kShape), 16, dtype, {{600, 700}}, 1, false);
    kv.FillNormal(1);
    const Queries queries(dtype, kv);
    UpProjection projection(kShape);
    const HostMatrix absorbed =
        RunAbsorbed(backend.mla(), kShape, kv, kv.batch(), queries.latent.view(), queries.q.view());
    const HostMatrix prefilled =
        RunPrefill(backend.mla(), kShape, kv, kv.batch(), queries.q.view(), projection);
    int32_t begin = 0;
    for (int32_t length : {1, 2, 3, 1, 16, 17, 64, 100, 1, 1, 200, 193, 1}) {
      ExpectSameRows(backend, kv, queries, 0, begin, begin + length, absorbed, prefilled);
      begin += length;
    }
    EXPECT_EQ(begin, 600);
  }
}

TEST_P(CpuMlaBitsTest, TheBatchDoesNotMatter) {
  for (DType dtype : kTypes) {
    CpuMlaBackend backend(GetParam(), kShape, dtype);
    PagedKv kv(CacheShape(kShape), 32, dtype, {{5, 600}, {1, 1200}, {40, 40}, {1, 3}});
    kv.FillNormal(1);
    const Queries queries(dtype, kv);
    UpProjection projection(kShape);
    const HostMatrix absorbed =
        RunAbsorbed(backend.mla(), kShape, kv, kv.batch(), queries.latent.view(), queries.q.view());
    const HostMatrix prefilled =
        RunPrefill(backend.mla(), kShape, kv, kv.batch(), queries.q.view(), projection);
    for (int64_t e = 0; e < kv.num_entries(); ++e) {
      const int32_t* start = kv.batch().query_start.data + e;
      ExpectSameRows(backend, kv, queries, e, 0, start[1] - start[0], absorbed, prefilled);
    }
  }
}

TEST_P(CpuMlaBitsTest, ThreadsDoNotMatter) {
  // Few rows are cut along their keys from two threads on, and not with one: 20000 keys in more
  // rounds than one.
  for (DType dtype : kTypes) {
    PagedKv kv(CacheShape(kShape), 64, dtype, {{1, 20000}, {1, 513}, {1, 100}});
    kv.FillNormal(1);
    const Queries queries(dtype, kv);
    UpProjection projection(kShape);
    CpuMlaBackend one(GetParam(), kShape, dtype, 1);
    const HostMatrix absorbed =
        RunAbsorbed(one.mla(), kShape, kv, kv.batch(), queries.latent.view(), queries.q.view());
    const HostMatrix prefilled =
        RunPrefill(one.mla(), kShape, kv, kv.batch(), queries.q.view(), projection);
    for (int threads : {2, 3, 8}) {
      CpuMlaBackend backend(GetParam(), kShape, dtype, threads);
      EXPECT_TRUE(RunAbsorbed(backend.mla(), kShape, kv, kv.batch(), queries.latent.view(),
                              queries.q.view())
                      .SameBits(absorbed))
          << threads;
      EXPECT_TRUE(RunPrefill(backend.mla(), kShape, kv, kv.batch(), queries.q.view(), projection)
                      .SameBits(prefilled))
          << threads;
    }
  }
}

TEST_P(CpuMlaBitsTest, WhatLaterTokensHoldDoesNotReachEarlierRows) {
  for (DType dtype : kTypes) {
    CpuMlaBackend backend(GetParam(), kShape, dtype);
    PagedKv kv(CacheShape(kShape), 16, dtype, {{60, 100}});
    kv.FillNormal(1);
    const Queries queries(dtype, kv);
    UpProjection projection(kShape);
    const auto absorb = [&] {
      return RunAbsorbed(backend.mla(), kShape, kv, kv.batch(), queries.latent.view(),
                         queries.q.view());
    };
    const auto prefill = [&] {
      return RunPrefill(backend.mla(), kShape, kv, kv.batch(), queries.q.view(), projection);
    };
    const HostMatrix absorbed = absorb();
    const HostMatrix prefilled = prefill();
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; ++i) {  // at positions 71, 80, 89: odd, even, odd
      kv.SetKey(0, 71 + 9 * i, 0, i, bad[i]);
      kv.SetKey(0, 71 + 9 * i, 0, 33 + i, bad[i]);
    }
    const HostMatrix absorbed_later = absorb();
    const HostMatrix prefilled_later = prefill();
    for (int64_t r = 0; r < 31; ++r) {
      EXPECT_TRUE(absorbed_later.SameRowBits(r, absorbed, r)) << r;
      EXPECT_TRUE(prefilled_later.SameRowBits(r, prefilled, r)) << r;
    }
    EXPECT_FALSE(absorbed_later.SameRowBits(31, absorbed, 31));
    EXPECT_FALSE(prefilled_later.SameRowBits(31, prefilled, 31));
  }
}

TEST_P(CpuMlaBitsTest, WhereThePagesLieAndHowLargeTheyAreDoesNotMatter) {
  CpuMlaBackend backend(GetParam(), kShape, DType::kBFloat16);
  std::vector<HostMatrix> results;
  for (int block_tokens : {16, 32, 64}) {
    PagedKv kv(CacheShape(kShape), block_tokens, DType::kBFloat16, {{9, 300}}, block_tokens);
    kv.FillNormal(5);
    const Queries queries(DType::kBFloat16, kv);
    UpProjection projection(kShape);
    results.push_back(RunAbsorbed(backend.mla(), kShape, kv, kv.batch(), queries.latent.view(),
                                  queries.q.view()));
    results.push_back(
        RunPrefill(backend.mla(), kShape, kv, kv.batch(), queries.q.view(), projection));
  }
  for (int i = 2; i < 6; ++i) EXPECT_TRUE(results[i].SameBits(results[i % 2])) << i;
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuMlaBitsTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
