// The fused norm, rotation and write of latent rows, on every instruction set.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/elements.h"
#include "gtest/gtest.h"
#include "tests/attention/mla_harness.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::CacheShape;
using ::quire::testing::CpuMlaBackend;
using ::quire::testing::HostMatrix;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeTables;
using ::quire::testing::RoundingError;

constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat32};
const MlaShape kShapes[] = {{4, 32, 16, 8, 16},       {3, 34, 10, 6, 14},
                            {8, 96, 48, 16, 32},      {16, 512, 128, 64, 128},
                            {4, 32, 16, 8, 16, true}, {3, 34, 10, 6, 14, true}};

// What a backend makes of the same rows: queries and cache rows as a matrix.
struct Written {
  HostMatrix q;
  HostMatrix cache;
};

class CpuMlaNormRopeWriteTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  struct Case {
    MlaShape shape;
    DType act;
    DType latent;
    DType cache;
    bool interleaved = true;
    bool norm = true;
  };

  static Written Write(Mla& mla, const Case& c) {
    PagedKv kv(CacheShape(c.shape), 16, c.cache, {{30, 40}, {1, 17}, {2, 2}});
    RopeTable rope = RopeTables_(c).view();
    rope.interleaved = c.interleaved;
    HostMatrix latent(c.latent, 33, c.shape.cache_dim(), c.shape.cache_dim() + 10);
    Written written{HostMatrix(c.act, 33, c.shape.q_width(), c.shape.q_width() + 6),
                    HostMatrix(c.cache, 33, c.shape.cache_dim())};
    latent.FillNormal(1, 3.0F);
    written.q.FillNormal(2);
    std::vector<float> norm(c.shape.latent_dim);
    for (size_t i = 0; i < norm.size(); ++i) norm[i] = 0.5F + 0.01F * static_cast<float>(i);
    mla.NormRopeWrite({.latent = latent.view(),
                       .q = written.q.view(),
                       .shape = c.shape,
                       .latent_norm = c.norm ? norm.data() : nullptr,
                       .norm_eps = 1e-5F,
                       .rope = rope,
                       .kv = kv.view()},
                      kv.batch());
    const KvPageLayout& layout = kv.view().layout;
    for (int64_t t = 0; t < 33; ++t) {
      const int64_t slot = kv.batch().slots.data[t];
      const uint8_t* page = kv.bytes().data() + slot / 16 * kv.view().page_stride_bytes;
      for (int d = 0; d < c.shape.cache_dim(); ++d) {
        written.cache.set(
            t, d,
            LoadElement(page, layout.dtype, layout.KeyOffset(0, static_cast<int>(slot % 16), d)));
      }
    }
    return written;
  }

  static const RopeTables& RopeTables_(const Case& c) {
    static const RopeTables eight(64, 8);
    static const RopeTables six(64, 6);
    static const RopeTables sixteen(64, 16);
    static const RopeTables wide(64, 64);
    return c.shape.rope_dim == 8    ? eight
           : c.shape.rope_dim == 6  ? six
           : c.shape.rope_dim == 16 ? sixteen
                                    : wide;
  }

  // A rotation is two products of numbers of size <= 15 and a sum, a norm R of them: a few
  // roundings in fp32, and one to the type.
  static void ExpectNear(const HostMatrix& got, const HostMatrix& want) {
    const DType dtype = want.view().dtype;
    EXPECT_TRUE(testing::Near(got, want, [&](int64_t r, int64_t c) {
      return 16 * 15 * 0x1p-24 + 2 * RoundingError(dtype, want.at(r, c));
    }));
  }
};

TEST_P(CpuMlaNormRopeWriteTest, MatchesTheReference) {
  for (const MlaShape& shape : kShapes) {
    for (DType dtype : kTypes) {
      for (bool interleaved : {true, false}) {
        for (bool norm : {true, false}) {
          CpuMlaBackend backend(GetParam(), shape, dtype);
          const Case c{shape, dtype, dtype, dtype, interleaved, norm};
          const Written got = Write(backend.mla(), c);
          const Written want = Write(*MakeReferenceMla(), c);
          ExpectNear(got.q, want.q);
          ExpectNear(got.cache, want.cache);
        }
      }
    }
  }
}

TEST_P(CpuMlaNormRopeWriteTest, TypesOfRowsAndCacheMayDiffer) {
  for (DType act : kTypes) {
    for (DType latent : kTypes) {
      for (DType cache : kTypes) {
        CpuMlaBackend backend(GetParam(), kShapes[0], cache);
        const Case c{kShapes[0], act, latent, cache};
        const Written got = Write(backend.mla(), c);
        const Written want = Write(*MakeReferenceMla(), c);
        ExpectNear(got.q, want.q);
        ExpectNear(got.cache, want.cache);
      }
    }
  }
}

TEST_P(CpuMlaNormRopeWriteTest, OneByOneIsAllAtOnceToTheBit) {
  for (DType dtype : kTypes) {
    const MlaShape shape = kShapes[2];
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
  const MlaShape shape = kShapes[0];
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
