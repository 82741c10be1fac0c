// The fused QK-norm, rotation and cache write of the CPU backend against the reference; every byte
// that it should not write stays as it was.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/elements.h"
#include "gtest/gtest.h"
#include "tests/attention/gqa_harness.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::CpuBackend;
using ::quire::testing::HostMatrix;
using ::quire::testing::KvEntry;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeTables;

struct RopeCase {
  GqaShape shape;
  int rotary_dim;
  int block_tokens;
  bool q_norm;
  bool k_norm;
  DType act;
  DType cache;
  std::vector<KvEntry> entries;
};

class CpuNormRopeWriteTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  // Values are of size x; a norm, a rotation and their tables' products add some roundings at that
  // size, then the result is rounded once to its type (twice as far where fp32 results straddle).
  static double Bound(DType dtype, double x) {
    return 32 * 0x1p-24 * std::max(1.0, std::fabs(x)) + 2 * testing::RoundingError(dtype, x);
  }

  void ExpectMatchesReference(const RopeCase& c) {
    CpuBackend backend(GetParam(), 3);
    PagedKv kv(c.shape, c.block_tokens, c.cache, c.entries);
    PagedKv want_kv(c.shape, c.block_tokens, c.cache, c.entries);
    const RopeTables rope(1000, c.rotary_dim);
    const std::vector<float> q_norm = Weights(c.shape.head_dim, 0.9F);
    const std::vector<float> k_norm = Weights(c.shape.head_dim, 1.2F);
    HostMatrix qkv(c.act, kv.num_tokens(), c.shape.qkv_width(), c.shape.qkv_width() + 8);
    qkv.FillNormal(1);
    HostMatrix want(qkv);
    NormRopeWriteParams params{qkv.view(),
                               c.shape,
                               c.q_norm ? q_norm.data() : nullptr,
                               c.k_norm ? k_norm.data() : nullptr,
                               1e-6F,
                               rope.view(),
                               kv.view()};
    backend.attention().NormRopeWrite(params, kv.batch());
    params.qkv = want.view();
    params.kv = want_kv.view();
    MakeReferenceAttention()->NormRopeWrite(params, want_kv.batch());
    EXPECT_TRUE(testing::Near(
        qkv, want, [&](int64_t r, int64_t col) { return Bound(c.act, want.at(r, col)); }));
    ExpectSamePools(kv, want_kv);
  }

  static std::vector<float> Weights(int dim, float center) {
    std::vector<float> weights(dim);
    for (int d = 0; d < dim; ++d) weights[d] = center + 0.01F * static_cast<float>(d % 7);
    return weights;
  }

  // Elements that the reference left NaN have kept their bits; the others are near.
  static void ExpectSamePools(const PagedKv& kv, const PagedKv& want) {
    const DType dtype = kv.view().layout.dtype;
    const size_t element = DTypeBytes(dtype);
    ASSERT_EQ(kv.bytes().size(), want.bytes().size());
    for (size_t at = 0; at < kv.bytes().size(); at += element) {
      const auto index = static_cast<int64_t>(at / element);
      const float expected = LoadElement(want.bytes().data(), dtype, index);
      if (std::isnan(expected)) {
        ASSERT_EQ(std::memcmp(kv.bytes().data() + at, want.bytes().data() + at, element), 0) << at;
      } else {
        ASSERT_NEAR(LoadElement(kv.bytes().data(), dtype, index), expected, Bound(dtype, expected))
            << at;
      }
    }
  }
};

TEST_P(CpuNormRopeWriteTest, MatchesTheReferenceInEveryType) {
  for (DType act : {DType::kBFloat16, DType::kFloat32}) {
    for (DType cache : {DType::kBFloat16, DType::kFloat32}) {
      ExpectMatchesReference(
          {{4, 2, 64, 64, 0}, 64, 16, true, true, act, cache, {{5, 20}, {1, 40}, {17, 17}}});
    }
  }
}

TEST_P(CpuNormRopeWriteTest, MatchesTheReferenceAtAnyHeadDim) {
  for (int dim : {2, 16, 34, 40, 48, 80, 96, 128, 192, 256}) {
    ExpectMatchesReference(
        {{3, 1, dim, dim, 0}, dim, 16, true, true, DType::kBFloat16, DType::kBFloat16, {{7, 30}}});
  }
}

TEST_P(CpuNormRopeWriteTest, NormsAreOptional) {
  for (bool q_norm : {true, false}) {
    for (bool k_norm : {true, false}) {
      ExpectMatchesReference({{4, 2, 64, 64, 0},
                              64,
                              32,
                              q_norm,
                              k_norm,
                              DType::kBFloat16,
                              DType::kBFloat16,
                              {{5, 20}}});
    }
  }
}

TEST_P(CpuNormRopeWriteTest, RotationMayBePartialOrNone) {
  for (int rotary_dim : {0, 2, 20, 32, 62}) {
    ExpectMatchesReference({{4, 2, 64, 64, 0},
                            rotary_dim,
                            64,
                            false,
                            true,
                            DType::kFloat32,
                            DType::kFloat32,
                            {{5, 70}}});
  }
}

TEST_P(CpuNormRopeWriteTest, ARowHasTheSameBitsAlone) {
  CpuBackend backend(GetParam());
  const GqaShape shape{4, 2, 40, 40, 0};
  const RopeTables rope(100, 40);
  const std::vector<float> norm = Weights(40, 1.0F);
  PagedKv kv(shape, 16, DType::kBFloat16, {{30, 50}});
  PagedKv one_by_one(shape, 16, DType::kBFloat16, {{30, 50}});
  HostMatrix qkv(DType::kBFloat16, 30, shape.qkv_width());
  qkv.FillNormal(1);
  HostMatrix rows(qkv);
  backend.attention().NormRopeWrite(
      {qkv.view(), shape, norm.data(), norm.data(), 1e-6F, rope.view(), kv.view()}, kv.batch());
  for (int32_t r = 29; r >= 0; --r) {
    PagedKv::SliceStorage storage;
    backend.attention().NormRopeWrite({rows.view().Rows(r, 1), shape, norm.data(), norm.data(),
                                       1e-6F, rope.view(), one_by_one.view()},
                                      one_by_one.Slice(0, r, r + 1, storage));
  }
  EXPECT_TRUE(rows.SameBits(qkv));
  EXPECT_EQ(one_by_one.bytes(), kv.bytes());
}

TEST_P(CpuNormRopeWriteTest, RowsOutsideTheTablesOrTheCacheAreABug) {
  CpuBackend backend(GetParam());
  const GqaShape shape{2, 1, 16, 16, 0};
  PagedKv kv(shape, 16, DType::kBFloat16, {{3, 20}});
  HostMatrix qkv(DType::kBFloat16, 3, shape.qkv_width());
  qkv.FillNormal(1);
  const auto write = [&](const AttentionBatch& batch, int64_t num_rows) {
    const RopeTables rope(num_rows, 16);
    backend.attention().NormRopeWrite(
        {qkv.view(), shape, nullptr, nullptr, 1e-6F, rope.view(), kv.view()}, batch);
  };
  write(kv.batch(), 20);
  EXPECT_DEATH(write(kv.batch(), 19), "num_rows \\(19 vs. 19\\)");
  AttentionBatch batch = kv.batch();
  const int32_t rope_rows[] = {17, -1, 19};
  batch.rope_rows.data = rope_rows;
  EXPECT_DEATH(write(batch, 20), "first_rope_row >= 0 \\(-1 vs. 0\\)");
  batch = kv.batch();
  const int64_t slots[] = {1, 2, -5};
  batch.slots.data = slots;
  EXPECT_DEATH(write(batch, 20), "first_slot >= 0 \\(-5 vs. 0\\)");
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuNormRopeWriteTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
