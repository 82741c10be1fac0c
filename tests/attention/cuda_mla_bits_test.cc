// The law of attention, for the CUDA kernels of latent attention, emulated: a row's bits depend on
// its query and on the cache rows that it sees, and on nothing else.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "core/elements.h"
#include "gtest/gtest.h"
#include "tests/attention/emulated_mla.h"
#include "tests/attention/mla_harness.h"

namespace quire {
namespace {

using ::quire::testing::CacheShape;
using ::quire::testing::EmulatedMla;
using ::quire::testing::HostMatrix;
using ::quire::testing::MlaDrive;
using ::quire::testing::MlaQueries;
using ::quire::testing::PagedKv;
using ::quire::testing::RunAbsorbed;
using ::quire::testing::RunPrefill;
using ::quire::testing::UpProjection;

constexpr MlaShape kSmall = testing::kSmallMla;

class CudaMlaBitsTest : public ::testing::TestWithParam<DType> {
 protected:
  static HostMatrix Absorb(const MlaShape& shape, const PagedKv& kv, const MlaQueries& queries,
                           const MlaDrive& drive) {
    EmulatedMla mla(drive);
    return RunAbsorbed(mla, shape, kv, kv.batch(), queries.latent.view(), queries.q.view());
  }
  static HostMatrix Prefill(const MlaShape& shape, const PagedKv& kv, const MlaQueries& queries,
                            const MlaDrive& drive) {
    EmulatedMla mla(drive);
    UpProjection projection(shape);
    return RunPrefill(mla, shape, kv, kv.batch(), queries.q.view(), projection);
  }
  static MlaQueries QueriesOf(const MlaShape& shape, const PagedKv& kv) {
    return {shape, GetParam(), GetParam(), kv.num_tokens()};
  }

  // Rows [begin, end) of entry `e` alone are those of the whole batch.
  static void ExpectSameRows(const PagedKv& kv, const MlaQueries& queries, int64_t e, int32_t begin,
                             int32_t end, const MlaDrive& drive, const HostMatrix* absorbed,
                             const HostMatrix* prefilled) {
    PagedKv::SliceStorage storage;
    const AttentionBatch batch = kv.Slice(e, begin, end, storage);
    const int64_t first = kv.batch().query_start.data[e] + begin;
    const DeviceMatrix q = queries.q.view().Rows(first, end - begin);
    EmulatedMla mla(drive);
    if (absorbed != nullptr) {
      const HostMatrix a =
          RunAbsorbed(mla, kSmall, kv, batch, queries.latent.view().Rows(first, end - begin), q);
      for (int32_t r = 0; r < end - begin; ++r) {
        EXPECT_TRUE(a.SameRowBits(r, *absorbed, first + r)) << "entry " << e << " row " << r;
      }
    }
    if (prefilled != nullptr) {
      UpProjection projection(kSmall);
      const HostMatrix p = RunPrefill(mla, kSmall, kv, batch, q, projection);
      for (int32_t r = 0; r < end - begin; ++r) {
        EXPECT_TRUE(p.SameRowBits(r, *prefilled, first + r)) << "entry " << e << " row " << r;
      }
    }
  }
};

TEST_P(CudaMlaBitsTest, ChunksDoNotMatter) {
  PagedKv kv(CacheShape(kSmall), 16, GetParam(), {{100, 140}}, 1, false);
  kv.FillNormal(1);
  const MlaQueries queries = QueriesOf(kSmall, kv);
  const HostMatrix prefilled = Prefill(kSmall, kv, queries, {});
  int32_t begin = 0;
  for (int32_t length : {1, 2, 21, 16, 48, 11, 1}) {
    ExpectSameRows(kv, queries, 0, begin, begin + length, {.capacity = 64 + begin / 64 * 64},
                   nullptr, &prefilled);
    begin += length;
  }
  EXPECT_EQ(begin, 100);
}

TEST_P(CudaMlaBitsTest, TheBatchDoesNotMatter) {
  PagedKv kv(CacheShape(kSmall), 32, GetParam(), {{1, 270}, {2, 80}, {20, 20}, {1, 3}});
  kv.FillNormal(1);
  const MlaQueries queries = QueriesOf(kSmall, kv);
  const HostMatrix absorbed = Absorb(kSmall, kv, queries, {});
  const HostMatrix prefilled = Prefill(kSmall, kv, queries, {});
  for (int64_t e = 0; e < kv.num_entries(); ++e) {
    const int32_t* start = kv.batch().query_start.data + e;
    ExpectSameRows(kv, queries, e, 0, start[1] - start[0],
                   {.split_rows = e % 2 == 0, .seed = static_cast<uint32_t>(e)}, &absorbed,
                   &prefilled);
  }
}

TEST_P(CudaMlaBitsTest, HowTheKernelsAreDrivenDoesNotMatter) {
  for (const MlaShape& shape : {kSmall, testing::kSmallMlaOfRopes}) {
    PagedKv kv(CacheShape(shape), 16, GetParam(), {{2, 70}, {1, 520}});
    kv.FillNormal(1);
    const MlaQueries queries = QueriesOf(shape, kv);
    const HostMatrix absorbed = Absorb(shape, kv, queries, {});
    const HostMatrix prefilled = Prefill(shape, kv, queries, {.capacity = 1024});
    for (const MlaDrive& drive :
         {MlaDrive{.split_rows = true, .capacity = 64},
          // No room for the splits of the longer one; one split too few.
          MlaDrive{.split_rows = true, .max_items = 1},
          MlaDrive{.split_rows = true, .max_items = 4},
          MlaDrive{.split_rows = true, .max_items = 5, .max_blocks = 2, .seed = 2},
          MlaDrive{.split_rows = true, .capacity = 192, .page_shift = 4, .kv_gap = 2, .seed = 7}}) {
      EXPECT_TRUE(Absorb(shape, kv, queries, drive).SameBits(absorbed)) << drive.capacity;
      EXPECT_TRUE(Prefill(shape, kv, queries, drive).SameBits(prefilled)) << drive.capacity;
    }
  }
}

TEST_P(CudaMlaBitsTest, WhatLaterTokensHoldDoesNotReachEarlierRows) {
  PagedKv kv(CacheShape(kSmall), 16, GetParam(), {{30, 50}});
  kv.FillNormal(1);
  const MlaQueries queries = QueriesOf(kSmall, kv);
  const HostMatrix absorbed = Absorb(kSmall, kv, queries, {});
  const HostMatrix prefilled = Prefill(kSmall, kv, queries, {});
  const float bad[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; ++i) {  // at positions 31, 38, 45: odd, even, odd
    kv.SetKey(0, 31 + 7 * i, 0, i, bad[i]);
    kv.SetKey(0, 31 + 7 * i, 0, 33 + i, bad[i]);
  }
  const HostMatrix absorbed_later = Absorb(kSmall, kv, queries, {});
  const HostMatrix prefilled_later = Prefill(kSmall, kv, queries, {});
  for (int64_t r = 0; r < 11; ++r) {
    EXPECT_TRUE(absorbed_later.SameRowBits(r, absorbed, r)) << r;
    EXPECT_TRUE(prefilled_later.SameRowBits(r, prefilled, r)) << r;
  }
  for (int64_t r = 11; r < 30; ++r) {
    EXPECT_FALSE(absorbed_later.SameRowBits(r, absorbed, r)) << r;
    EXPECT_FALSE(prefilled_later.SameRowBits(r, prefilled, r)) << r;
  }
}

// A value that is infinite, of a key that is a number: rows from the key's on get it, and only they
// (the product would make NaN of a probability of zero).
TEST_P(CudaMlaBitsTest, InfiniteValuesReachTheRowsThatSeeThem) {
  const MlaShape shape = {1, 4, 2, 2, 4};
  PagedKv kv(CacheShape(shape), 16, GetParam(), {{40, 40}});
  kv.FillNormal(1);
  const MlaQueries queries = QueriesOf(shape, kv);
  const HostMatrix before = Prefill(shape, kv, queries, {});
  EmulatedMla mla({});
  UpProjection projection(shape);
  HostMatrix after(GetParam(), 40, shape.out_width());
  mla.Prefill({.q = queries.q.view(),
               .out = after.view(),
               .shape = shape,
               .scale = testing::UnitScale(shape.head_dim()),
               .kv = kv.view()},
              kv.batch(), [&](const DeviceMatrix& latent, const DeviceMatrix& expanded) {
                projection.Apply(latent, expanded);
                StoreElement(expanded, 21, shape.nope_dim + 1, INFINITY);
              });
  for (int64_t r = 0; r < 40; ++r) {
    EXPECT_EQ(after.at(r, 1), r < 21 ? before.at(r, 1) : INFINITY) << r;
    for (int64_t c : {0, 2, 3}) EXPECT_EQ(after.at(r, c), before.at(r, c)) << r;
  }
}

TEST_P(CudaMlaBitsTest, WhereThePagesLieAndHowLargeTheyAreDoesNotMatter) {
  std::vector<HostMatrix> results;
  for (int block_tokens : {16, 32, 64}) {
    PagedKv kv(CacheShape(kSmall), block_tokens, GetParam(), {{3, 100}}, block_tokens);
    kv.FillNormal(5);
    const MlaQueries queries = QueriesOf(kSmall, kv);
    results.push_back(Absorb(kSmall, kv, queries, {}));
    results.push_back(Prefill(kSmall, kv, queries, {}));
  }
  for (int i = 2; i < 6; ++i) EXPECT_TRUE(results[i].SameBits(results[i % 2])) << i;
}

INSTANTIATE_TEST_SUITE_P(Types, CudaMlaBitsTest,
                         ::testing::Values(DType::kBFloat16, DType::kFloat32),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

}  // namespace
}  // namespace quire
