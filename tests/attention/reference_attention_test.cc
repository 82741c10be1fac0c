// The oracle against cases whose answer is known by reasoning.
#include "attention/reference/reference_attention.h"

#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/matrix.h"
#include "tests/testing/paged_kv.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeTables;

TEST(ReferenceAttention, EqualKeysGiveTheMeanOfTheValuesSeen) {
  const GqaShape shape{2, 1, 2, 2, 3};  // window 3
  PagedKv kv(shape, 2, DType::kFloat32, {{2, 5}});
  for (int position = 1; position < 5; ++position) {
    for (int d = 0; d < 2; ++d) {
      kv.SetKey(0, position, 0, d, 1.0F);
      kv.SetValue(0, position, 0, d, static_cast<float>(position * 10 + d));
    }
  }
  HostMatrix qkv(DType::kFloat32, 2, shape.qkv_width());
  qkv.FillNormal(3);
  HostMatrix out(DType::kFloat32, 2, 4);
  MakeReferenceAttention()->Gqa({qkv.view(), out.view(), shape, 0.5F, kv.view()}, kv.batch());
  for (int h = 0; h < 2; ++h) {
    EXPECT_FLOAT_EQ(out.at(0, 2 * h), 20.0F);      // positions 1, 2, 3
    EXPECT_FLOAT_EQ(out.at(1, 2 * h + 1), 31.0F);  // positions 2, 3, 4
  }
}

TEST(ReferenceAttention, WeightsAreTheSoftmaxOfScaledScores) {
  const GqaShape shape{1, 1, 2, 2, 0};
  PagedKv kv(shape, 2, DType::kFloat32, {{1, 2}});
  const float keys[2][2] = {{1, 0}, {0, 2}};
  for (int position = 0; position < 2; ++position) {
    for (int d = 0; d < 2; ++d) {
      kv.SetKey(0, position, 0, d, keys[position][d]);
      kv.SetValue(0, position, 0, d, position == 0 ? 1.0F : 0.0F);
    }
  }
  HostMatrix qkv(DType::kFloat32, 1, shape.qkv_width());
  qkv.set(0, 0, 3.0F);
  qkv.set(0, 1, 1.0F);
  HostMatrix out(DType::kFloat32, 1, 2);
  MakeReferenceAttention()->Gqa({qkv.view(), out.view(), shape, 0.5F, kv.view()}, kv.batch());
  EXPECT_FLOAT_EQ(out.at(0, 0), static_cast<float>(1.0 / (1.0 + std::exp(1.0 - 1.5))));
}

TEST(ReferenceAttention, NormRopeWriteTurnsQueriesAndKeysAndPlacesValues) {
  const GqaShape shape{1, 1, 4, 4, 0};
  PagedKv kv(shape, 2, DType::kFloat32, {{1, 2}});
  const RopeTables rope(4, 2);  // partial: dims 0 and 1 turn by the position in radians
  HostMatrix qkv(DType::kFloat32, 1, shape.qkv_width());
  for (int i = 0; i < 12; ++i) qkv.set(0, i, static_cast<float>(i + 1));
  const std::vector<float> norm = {1, 1, 1, 2};
  NormRopeWriteParams params{.qkv = qkv.view(),
                             .shape = shape,
                             .qk_norm = QkNorm::kPerHead,
                             .q_norm = norm.data(),
                             .norm_eps = 0.0F,
                             .rope = rope.view(),
                             .kv = kv.view()};
  MakeReferenceAttention()->NormRopeWrite(params, kv.batch());
  const double rms = std::sqrt((1 + 4 + 9 + 16) / 4.0);
  EXPECT_FLOAT_EQ(qkv.at(0, 0), static_cast<float>((std::cos(1.0) - 2 * std::sin(1.0)) / rms));
  EXPECT_FLOAT_EQ(qkv.at(0, 2), static_cast<float>(3 / rms));
  EXPECT_FLOAT_EQ(qkv.at(0, 3), static_cast<float>(8 / rms));
  // The key, of weight 1, is in its place.
  const auto* page = reinterpret_cast<const float*>(
      kv.bytes().data() + kv.batch().slots.data[0] / 2 * kv.view().page_stride_bytes);
  const KvPageLayout& layout = kv.view().layout;
  const double key_rms = std::sqrt((25 + 36 + 49 + 64) / 4.0);
  EXPECT_FLOAT_EQ(page[layout.KeyOffset(0, 1, 0)],
                  static_cast<float>((5 * std::cos(1.0) - 6 * std::sin(1.0)) / key_rms));
  EXPECT_FLOAT_EQ(page[layout.KeyOffset(0, 1, 3)], static_cast<float>(8 / key_rms));
  EXPECT_FLOAT_EQ(page[layout.ValueOffset(0, 1, 2)], 11.0F);
  EXPECT_TRUE(std::isnan(page[layout.ValueOffset(0, 0, 2)]));
}

TEST(ReferenceAttention, CopyPagesCopiesWholePages) {
  const GqaShape shape{1, 1, 2, 2, 0};
  PagedKv kv(shape, 2, DType::kBFloat16, {{1, 2}});
  kv.FillNormal(5);
  const BlockId src(kv.batch().blocks.data[0]);
  const BlockId dst(src.value() == 0 ? 1 : 0);
  const std::pair<BlockId, BlockId> pages[] = {{src, dst}};
  MakeReferenceAttention()->CopyPages(kv.view(), pages);
  const int64_t stride = kv.view().page_stride_bytes;
  EXPECT_EQ(std::memcmp(kv.bytes().data() + src.value() * stride,
                        kv.bytes().data() + dst.value() * stride, kv.view().layout.page_bytes()),
            0);
}

}  // namespace
}  // namespace quire
