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
  GqaShape shape{4, 2, 64, 64, 0};
  int rotary_dim = 64;
  bool interleaved = false;
  QkNorm norm = QkNorm::kNone;
  bool weights = true;
  bool weights_per_head = false;
  DType act = DType::kBFloat16;
  DType cache = DType::kBFloat16;
  int block_tokens = 16;
  std::vector<KvEntry> entries = {{5, 20}, {1, 40}, {17, 17}};
};

class CpuNormRopeWriteTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  // Values are of size x; a norm, a rotation and their tables' products add some roundings at that
  // size, then the result is rounded once to its type (twice as far where fp32 results straddle).
  static double Bound(DType dtype, double x) {
    return 32 * 0x1p-24 * std::max(1.0, std::fabs(x)) + 2 * testing::RoundingError(dtype, x);
  }

  // Weights of any norm: [H, D] numbers, of which a shared one reads the first D.
  static std::vector<float> Weights(int64_t count, float center) {
    std::vector<float> weights(count);
    for (int64_t d = 0; d < count; ++d) weights[d] = center + 0.01F * static_cast<float>(d % 7);
    return weights;
  }

  static NormRopeWriteParams Params(const RopeCase& c, const std::vector<float>& weights,
                                    const RopeTables& rope) {
    NormRopeWriteParams params;
    params.shape = c.shape;
    params.qk_norm = c.norm;
    if (c.weights) params.q_norm = weights.data();
    if (c.weights) params.k_norm = weights.data() + 1;
    params.weights_per_head = c.weights_per_head;
    params.rope = rope.view();
    params.rope.interleaved = c.interleaved;
    return params;
  }

  // The write, and the same rotation without it.
  void ExpectMatchesReference(const RopeCase& c) {
    CpuBackend backend(GetParam(), 3);
    PagedKv kv(c.shape, c.block_tokens, c.cache, c.entries);
    PagedKv want_kv(c.shape, c.block_tokens, c.cache, c.entries);
    const RopeTables rope(1000, c.rotary_dim);
    const std::vector<float> weights =
        Weights(int64_t{c.shape.num_heads} * c.shape.head_dim + 1, 0.9F);
    HostMatrix qkv(c.act, kv.num_tokens(), c.shape.qkv_width(), c.shape.qkv_width() + 8);
    qkv.FillNormal(1);
    HostMatrix want(qkv);
    HostMatrix in_place(qkv);
    HostMatrix want_in_place(qkv);
    NormRopeWriteParams params = Params(c, weights, rope);
    const auto near = [&](const HostMatrix& got, const HostMatrix& expected) {
      return testing::Near(
          got, expected, [&](int64_t r, int64_t col) { return Bound(c.act, expected.at(r, col)); });
    };

    const auto reference = MakeReferenceAttention();
    params.qkv = in_place.view();
    backend.attention().NormRope(params, kv.batch().rope_rows);
    params.qkv = want_in_place.view();
    reference->NormRope(params, kv.batch().rope_rows);
    EXPECT_TRUE(near(in_place, want_in_place));

    params.qkv = qkv.view();
    params.kv = kv.view();
    backend.attention().NormRopeWrite(params, kv.batch());
    params.qkv = want.view();
    params.kv = want_kv.view();
    reference->NormRopeWrite(params, want_kv.batch());
    EXPECT_TRUE(near(qkv, want));
    ExpectSamePools(kv, want_kv);
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
      ExpectMatchesReference({.norm = QkNorm::kPerHead, .act = act, .cache = cache});
    }
  }
}

TEST_P(CpuNormRopeWriteTest, MatchesTheReferenceAtAnyHeadDim) {
  for (int dim : {2, 16, 34, 40, 48, 80, 96, 128, 192, 256}) {
    for (bool interleaved : {false, true}) {
      ExpectMatchesReference({.shape = {3, 1, dim, dim, 0},
                              .rotary_dim = dim,
                              .interleaved = interleaved,
                              .norm = QkNorm::kPerHead,
                              .entries = {{7, 30}}});
    }
  }
}

TEST_P(CpuNormRopeWriteTest, ValuesMayHaveADimOfTheirOwn) {
  for (int value_dim : {2, 34, 128, 200}) {
    for (DType cache : {DType::kBFloat16, DType::kFloat32}) {
      ExpectMatchesReference(
          {.shape = {4, 2, 96, value_dim, 0}, .cache = cache, .block_tokens = 32});
    }
  }
}

TEST_P(CpuNormRopeWriteTest, EveryNormMatchesTheReference) {
  for (QkNorm norm :
       {QkNorm::kNone, QkNorm::kPerHead, QkNorm::kFullWidth, QkNorm::kPerHeadLayerNorm}) {
    for (bool weights : {true, false}) {
      for (bool weights_per_head : {true, false}) {
        for (int dim : {64, 34}) {
          ExpectMatchesReference({.shape = {6, 2, dim, dim, 0},
                                  .rotary_dim = dim,
                                  .norm = norm,
                                  .weights = weights,
                                  .weights_per_head = weights_per_head,
                                  .act = DType::kFloat32,
                                  .cache = DType::kFloat32});
        }
      }
    }
  }
}

TEST_P(CpuNormRopeWriteTest, RotationMayBePartialOrNone) {
  for (int rotary_dim : {0, 2, 20, 32, 62}) {
    for (bool interleaved : {false, true}) {
      ExpectMatchesReference({.rotary_dim = rotary_dim,
                              .interleaved = interleaved,
                              .act = DType::kFloat32,
                              .cache = DType::kFloat32,
                              .block_tokens = 64});
    }
  }
}

TEST_P(CpuNormRopeWriteTest, QueriesMayBeTurnedTwice) {
  CpuBackend backend(GetParam(), 3);
  for (QkNorm norm : {QkNorm::kNone, QkNorm::kPerHead}) {
    const RopeCase c{.rotary_dim = 32, .norm = norm};
    PagedKv kv(c.shape, c.block_tokens, c.cache, c.entries);
    const RopeTables rope(100, c.rotary_dim);
    const std::vector<float> weights = Weights(65, 0.9F);
    HostMatrix qkv(c.act, kv.num_tokens(), c.shape.qkv_width());
    qkv.FillNormal(1);
    HostMatrix again(qkv);
    HostMatrix q2(c.act, kv.num_tokens(), 256, 260);
    std::vector<int32_t> rows2;
    for (int32_t t = 0; t < kv.num_tokens(); ++t) rows2.push_back(99 - 3 * t);
    AttentionBatch batch = kv.batch();
    batch.rope_rows2 = {rows2.data(), kv.num_tokens()};
    NormRopeWriteParams params = Params(c, weights, rope);
    params.qkv = qkv.view();
    params.kv = kv.view();
    params.q2 = q2.view();
    backend.attention().NormRopeWrite(params, batch);
    params.qkv = again.view();
    params.q2 = {};
    backend.attention().NormRope(params, batch.rope_rows2);
    for (int64_t t = 0; t < kv.num_tokens(); ++t) {
      for (int64_t col = 0; col < 256; ++col) ASSERT_EQ(q2.at(t, col), again.at(t, col)) << t;
    }
    HostMatrix want_q2(c.act, kv.num_tokens(), 256, 260);
    HostMatrix fresh(c.act, kv.num_tokens(), c.shape.qkv_width());
    fresh.FillNormal(1);
    params.qkv = fresh.view();
    params.q2 = want_q2.view();
    MakeReferenceAttention()->NormRopeWrite(params, batch);
    EXPECT_TRUE(testing::Near(
        q2, want_q2, [&](int64_t r, int64_t col) { return Bound(c.act, want_q2.at(r, col)); }));
  }
}

TEST_P(CpuNormRopeWriteTest, ARowHasTheSameBitsAlone) {
  CpuBackend backend(GetParam());
  const GqaShape shape{4, 2, 40, 40, 0};
  const RopeTables rope(100, 40);
  const std::vector<float> norm = Weights(160, 1.0F);
  PagedKv kv(shape, 16, DType::kBFloat16, {{30, 50}});
  PagedKv one_by_one(shape, 16, DType::kBFloat16, {{30, 50}});
  HostMatrix qkv(DType::kBFloat16, 30, shape.qkv_width());
  qkv.FillNormal(1);
  HostMatrix rows(qkv);
  NormRopeWriteParams params{.qkv = qkv.view(),
                             .shape = shape,
                             .qk_norm = QkNorm::kFullWidth,
                             .q_norm = norm.data(),
                             .k_norm = norm.data(),
                             .rope = rope.view(),
                             .kv = kv.view()};
  backend.attention().NormRopeWrite(params, kv.batch());
  params.kv = one_by_one.view();
  for (int32_t r = 29; r >= 0; --r) {
    PagedKv::SliceStorage storage;
    params.qkv = rows.view().Rows(r, 1);
    backend.attention().NormRopeWrite(params, one_by_one.Slice(0, r, r + 1, storage));
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
        {.qkv = qkv.view(), .shape = shape, .rope = rope.view(), .kv = kv.view()}, batch);
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
