// The fused norm, rotation and write of latent rows, on every instruction set.
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/mla_harness.h"
#include "tests/attention/mla_norm_rope_harness.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::CacheShape;
using ::quire::testing::CpuMlaBackend;
using ::quire::testing::ExpectLatentsMatchReference;
using ::quire::testing::HostMatrix;
using ::quire::testing::kLatentTypes;
using ::quire::testing::kMlaNormRopeShapes;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeTables;

class CpuMlaNormRopeWriteTest : public ::testing::TestWithParam<CpuIsa> {};

TEST_P(CpuMlaNormRopeWriteTest, MatchesTheReference) {
  for (const MlaShape& shape : kMlaNormRopeShapes) {
    for (DType dtype : kLatentTypes) {
      for (bool interleaved : {true, false}) {
        for (bool norm : {true, false}) {
          CpuMlaBackend backend(GetParam(), shape, dtype);
          ExpectLatentsMatchReference(backend.mla(),
                                      {shape, dtype, dtype, dtype, interleaved, norm});
        }
      }
    }
  }
}

TEST_P(CpuMlaNormRopeWriteTest, TypesOfRowsAndCacheMayDiffer) {
  const MlaShape shape = kMlaNormRopeShapes[0];
  for (DType act : kLatentTypes) {
    for (DType latent : kLatentTypes) {
      for (DType cache : kLatentTypes) {
        CpuMlaBackend backend(GetParam(), shape, cache);
        ExpectLatentsMatchReference(backend.mla(), {shape, act, latent, cache});
      }
    }
  }
}

TEST_P(CpuMlaNormRopeWriteTest, OneByOneIsAllAtOnceToTheBit) {
  for (DType dtype : kLatentTypes) {
    const MlaShape shape = kMlaNormRopeShapes[2];
    CpuMlaBackend backend(GetParam(), shape, dtype, 3);
    const RopeTables rope(2000, shape.rope_dim);
    PagedKv all(CacheShape(shape), 16, dtype, {{900, 930}});
    PagedKv one_by_one(CacheShape(shape), 16, dtype, {{900, 930}});
    HostMatrix latent(dtype, 900, shape.cache_dim());
    HostMatrix q(dtype, 900, shape.q_width());
    latent.FillNormal(1);
    q.FillNormal(2);
    HostMatrix rows(q);
    const std::vector<float> norm(shape.latent_dim, 1.5F);
    const auto write = [&](PagedKv& kv, const DeviceMatrix& c, const DeviceMatrix& queries,
                           const AttentionBatch& batch) {
      backend.mla().NormRopeWrite({c, queries, shape, norm.data(), 1e-6F, rope.view(), kv.view()},
                                  batch);
    };
    write(all, latent.view(), q.view(), all.batch());
    for (int32_t r = 899; r >= 0; --r) {
      PagedKv::SliceStorage storage;
      write(one_by_one, latent.view().Rows(r, 1), rows.view().Rows(r, 1),
            one_by_one.Slice(0, r, r + 1, storage));
    }
    EXPECT_TRUE(rows.SameBits(q));
    EXPECT_EQ(one_by_one.bytes(), all.bytes());
  }
}

TEST_P(CpuMlaNormRopeWriteTest, RowsOutsideTheTablesOrTheCacheAreABug) {
  const MlaShape shape = kMlaNormRopeShapes[0];
  CpuMlaBackend backend(GetParam(), shape, DType::kBFloat16);
  PagedKv kv(CacheShape(shape), 16, DType::kBFloat16, {{3, 20}});
  HostMatrix latent(DType::kBFloat16, 3, shape.cache_dim());
  HostMatrix q(DType::kBFloat16, 3, shape.q_width());
  latent.FillNormal(1);
  q.FillNormal(1);
  const auto write = [&](const AttentionBatch& batch, int64_t num_rows) {
    const RopeTables rope(num_rows, shape.rope_dim);
    backend.mla().NormRopeWrite(
        {latent.view(), q.view(), shape, nullptr, 1e-6F, rope.view(), kv.view()}, batch);
  };
  write(kv.batch(), 20);
  EXPECT_DEATH(write(kv.batch(), 19), "num_rows \\(19 vs. 19\\)");
  AttentionBatch batch = kv.batch();
  const int64_t slots[] = {1, 2, -5};
  batch.slots.data = slots;
  EXPECT_DEATH(write(batch, 20), "\\(-5 vs. 0\\)");
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuMlaNormRopeWriteTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
