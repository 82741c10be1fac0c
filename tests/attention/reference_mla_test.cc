// The oracle of mla.h against cases whose answer is known by reasoning, and against itself.
#include "attention/reference/reference_mla.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/elements.h"
#include "gtest/gtest.h"
#include "tests/attention/mla_harness.h"

namespace quire {
namespace {

using ::quire::testing::CacheShape;
using ::quire::testing::HostMatrix;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeTables;
using ::quire::testing::UpProjection;

TEST(ReferenceMla, NormRopeWriteNormalisesTheLatentAndTurnsPairs) {
  const MlaShape shape = {1, 2, 2, 2, 2};
  PagedKv kv(CacheShape(shape), 2, DType::kFloat32, {{1, 2}});
  RopeTables rope(4, 2);  // turns by the position in radians
  HostMatrix latent(DType::kFloat32, 1, 4);
  HostMatrix q(DType::kFloat32, 1, 4);
  for (int i = 0; i < 4; ++i) {
    latent.set(0, i, static_cast<float>(i + 3));  // c 3 4, k_r 5 6
    q.set(0, i, static_cast<float>(i + 1));       // q_n 1 2, q_r 3 4
  }
  const std::vector<float> norm = {1, 2};
  RopeTable table = rope.view();
  table.interleaved = true;
  MakeReferenceMla()->NormRopeWrite(
      {latent.view(), q.view(), shape, norm.data(), 0.0F, table, kv.view()}, kv.batch());
  EXPECT_FLOAT_EQ(q.at(0, 1), 2.0F);
  EXPECT_FLOAT_EQ(q.at(0, 2), static_cast<float>(3 * std::cos(1.0) - 4 * std::sin(1.0)));
  EXPECT_FLOAT_EQ(q.at(0, 3), static_cast<float>(4 * std::cos(1.0) + 3 * std::sin(1.0)));
  const auto* page = reinterpret_cast<const float*>(
      kv.bytes().data() + kv.batch().slots.data[0] / 2 * kv.view().page_stride_bytes);
  const KvPageLayout& layout = kv.view().layout;
  const double rms = std::sqrt((9 + 16) / 2.0);
  EXPECT_FLOAT_EQ(page[layout.KeyOffset(0, 1, 0)], static_cast<float>(3 / rms));
  EXPECT_FLOAT_EQ(page[layout.KeyOffset(0, 1, 1)], static_cast<float>(8 / rms));
  EXPECT_FLOAT_EQ(page[layout.KeyOffset(0, 1, 2)],
                  static_cast<float>(5 * std::cos(1.0) - 6 * std::sin(1.0)));
  EXPECT_TRUE(std::isnan(page[layout.KeyOffset(0, 0, 2)]));
}

TEST(ReferenceMla, TheFirstDimsOfAHeadTurnWhereEachHasItsOwnKey) {
  const MlaShape shape = {2, 2, 2, 2, 2, true};
  PagedKv kv(CacheShape(shape), 2, DType::kFloat32, {{1, 2}});
  RopeTables rope(4, 2);
  HostMatrix latent(DType::kFloat32, 1, 6);
  HostMatrix q(DType::kFloat32, 1, 8);
  for (int i = 0; i < 6; ++i) latent.set(0, i, static_cast<float>(i + 1));
  for (int i = 0; i < 8; ++i) q.set(0, i, static_cast<float>(i + 1));
  MakeReferenceMla()->NormRopeWrite(
      {latent.view(), q.view(), shape, nullptr, 0.0F, rope.view(), kv.view()}, kv.batch());
  EXPECT_FLOAT_EQ(q.at(0, 4), static_cast<float>(5 * std::cos(1.0) - 6 * std::sin(1.0)));
  EXPECT_FLOAT_EQ(q.at(0, 6), 7.0F);
  const auto* page = reinterpret_cast<const float*>(
      kv.bytes().data() + kv.batch().slots.data[0] / 2 * kv.view().page_stride_bytes);
  const KvPageLayout& layout = kv.view().layout;
  EXPECT_FLOAT_EQ(page[layout.KeyOffset(0, 1, 1)], 2.0F);  // without a norm as it is
  EXPECT_FLOAT_EQ(page[layout.KeyOffset(0, 1, 5)],
                  static_cast<float>(6 * std::cos(1.0) + 5 * std::sin(1.0)));
}

TEST(ReferenceMla, AbsorbedWeightsAreTheSoftmaxOfBothParts) {
  const MlaShape shape = {1, 2, 2, 2, 2};
  PagedKv kv(CacheShape(shape), 2, DType::kFloat32, {{1, 2}});
  const float rows[2][4] = {{1, 0, 3, 0}, {0, 2, 0, 1}};  // c, k_r
  for (int position = 0; position < 2; ++position) {
    for (int d = 0; d < 4; ++d) kv.SetKey(0, position, 0, d, rows[position][d]);
  }
  HostMatrix q_latent(DType::kFloat32, 1, 2);
  HostMatrix q(DType::kFloat32, 1, 4);
  q_latent.set(0, 0, 3.0F);
  q_latent.set(0, 1, 1.0F);
  q.set(0, 2, 1.0F);
  q.set(0, 3, 5.0F);
  HostMatrix out(DType::kFloat32, 1, 2);
  MakeReferenceMla()->Absorbed({q_latent.view(), q.view(), out.view(), 0, shape, 0.5F, kv.view()},
                               kv.batch());
  const double first = 1.0 / (1.0 + std::exp(0.5 * (2 + 5) - 0.5 * (3 + 3)));
  EXPECT_FLOAT_EQ(out.at(0, 0), static_cast<float>(first));
  EXPECT_FLOAT_EQ(out.at(0, 1), static_cast<float>(2 * (1 - first)));
}

// q_lat . c = q_n . (c W_UK), and the mean of c W_UV is that of c times W_UV: in fp64 the forms are
// the same but for the rounding of what lies between, to fp32.
TEST(ReferenceMla, AbsorbedAndUnabsorbedAgree) {
  const auto mla = MakeReferenceMla();
  for (const MlaShape& shape : {MlaShape{4, 32, 16, 8, 16}, MlaShape{4, 32, 16, 8, 16, true},
                                MlaShape{8, 96, 48, 16, 32}}) {
    PagedKv kv(CacheShape(shape), 16, DType::kFloat32, {{1, 70}, {3, 40}});
    kv.FillNormal(3);
    HostMatrix q(DType::kFloat32, 4, shape.q_width());
    q.FillNormal(1);
    UpProjection projection(shape);
    const HostMatrix want = testing::RunPrefill(*mla, shape, kv, kv.batch(), q.view(), projection);
    const HostMatrix got = testing::RunAbsorbedWhole(*mla, shape, kv, q, projection);
    EXPECT_TRUE(testing::Near(got, want, [&](int64_t r, int64_t c) {
      return 6 * 16 * 0x1p-24 + 4 * testing::RoundingError(DType::kFloat32, want.at(r, c));
    }));
  }
}

}  // namespace
}  // namespace quire
