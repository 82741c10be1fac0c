// The fused QK-norm, rotation and cache write of the CPU backend against the reference; every byte
// that it should not write stays as it was.
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/gqa_harness.h"
#include "tests/attention/norm_rope_harness.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::CpuBackend;
using ::quire::testing::HostMatrix;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeCase;
using ::quire::testing::RopeTables;

class CpuNormRopeWriteTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  static void ExpectMatchesReference(const std::vector<RopeCase>& cases) {
    CpuBackend backend(GetParam(), 3);
    testing::ExpectNormRopeMatchesReference(backend.attention(), cases);
  }
};

TEST_P(CpuNormRopeWriteTest, MatchesTheReferenceInEveryType) {
  ExpectMatchesReference(testing::RopeTypeCases());
}

TEST_P(CpuNormRopeWriteTest, MatchesTheReferenceAtAnyHeadDim) {
  ExpectMatchesReference(testing::RopeHeadDimCases());
}

TEST_P(CpuNormRopeWriteTest, ValuesMayHaveADimOfTheirOwn) {
  ExpectMatchesReference(testing::RopeValueDimCases());
}

TEST_P(CpuNormRopeWriteTest, EveryNormMatchesTheReference) {
  ExpectMatchesReference(testing::RopeNormCases());
}

TEST_P(CpuNormRopeWriteTest, RotationMayBePartialOrNone) {
  ExpectMatchesReference(testing::PartialRopeCases());
}

TEST_P(CpuNormRopeWriteTest, QueriesMayBeTurnedTwice) {
  CpuBackend backend(GetParam(), 3);
  for (QkNorm norm : {QkNorm::kNone, QkNorm::kPerHead}) {
    testing::ExpectQueriesTurnedTwice(backend.attention(), {.rotary_dim = 32, .norm = norm});
  }
}

TEST_P(CpuNormRopeWriteTest, ARowHasTheSameBitsAlone) {
  CpuBackend backend(GetParam());
  const GqaShape shape{4, 2, 40, 40, 0};
  const RopeTables rope(100, 40);
  const testing::RopeNormWeights norm(shape);
  PagedKv kv(shape, 16, DType::kBFloat16, {{30, 50}});
  PagedKv one_by_one(shape, 16, DType::kBFloat16, {{30, 50}});
  HostMatrix qkv(DType::kBFloat16, 30, shape.qkv_width());
  qkv.FillNormal(1);
  HostMatrix rows(qkv);
  NormRopeWriteParams params{.qkv = qkv.view(),
                             .shape = shape,
                             .qk_norm = QkNorm::kFullWidth,
                             .q_norm = norm.q.data(),
                             .k_norm = norm.k.data(),
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
