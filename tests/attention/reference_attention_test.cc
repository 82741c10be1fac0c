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

// One query of one dim pair (3, 1) over two keys (1, 0) and (0, 2) of positions 0 and 1 with the
// values 1 and 0, scaled by 1/2: scores 1.5 and 1. Returns the weight of key 0.
float FirstWeight(const ScoreRules& rules) {
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
  MakeReferenceAttention()->Gqa({qkv.view(), out.view(), shape, 0.5F, kv.view(), rules, {}},
                                kv.batch());
  EXPECT_EQ(out.at(0, 0), out.at(0, 1));
  return out.at(0, 0);
}

// 1 / (1 + e^-x): the weight of the first of two scores that are x apart.
float Weight(double x) { return static_cast<float>(1.0 / (1.0 + std::exp(-x))); }

TEST(ReferenceAttention, WeightsAreTheSoftmaxOfScaledScores) {
  EXPECT_FLOAT_EQ(FirstWeight({}), Weight(1.5 - 1.0));
}

TEST(ReferenceAttention, RulesChangeScores) {
  ScoreRules cap;
  cap.softcap = 2.0F;
  EXPECT_FLOAT_EQ(FirstWeight(cap), Weight(2 * std::tanh(0.75) - 2 * std::tanh(0.5)));
  const float slope = 0.25F;
  ScoreRules alibi;
  alibi.alibi_slopes = &slope;  // key 0 lies one position back
  EXPECT_FLOAT_EQ(FirstWeight(alibi), Weight(1.5 - 0.25 - 1.0));
  const float row[] = {-1.0F, 3.0F};
  ScoreRules bias;
  bias.bias = {row, 0, 2};
  EXPECT_FLOAT_EQ(FirstWeight(bias), Weight(1.5 - 1.0 - (1.0 + 3.0)));
  const float hidden[] = {-INFINITY, 0.0F};
  bias.bias = {hidden, 0, 2};
  EXPECT_EQ(FirstWeight(bias), 0.0F);
  const float sink = 2.0F;
  ScoreRules sinks;
  sinks.sink_logits = &sink;
  EXPECT_FLOAT_EQ(
      FirstWeight(sinks),
      static_cast<float>(std::exp(1.5) / (std::exp(1.5) + std::exp(1.0) + std::exp(2.0))));
}

// Equal keys, so that an output is the mean of the values seen: those are the positions.
TEST(ReferenceAttention, APrefixIsSeenInFrontOfTheWindow) {
  const GqaShape shape{1, 1, 2, 2, 3};
  HostMatrix qkv(DType::kFloat32, 1, shape.qkv_width());
  qkv.FillNormal(3);
  HostMatrix out(DType::kFloat32, 1, 2);
  for (int length : {4, 5, 8}) {
    PagedKv kv(shape, 2, DType::kFloat32, {{1, length}}, 1, true, {2, false});
    double sum = 0;
    int count = 0;
    for (int position = 0; position < length; ++position) {
      if (position >= 2 && position < length - 3) continue;
      for (int d = 0; d < 2; ++d) {
        kv.SetKey(0, position, 0, d, 1.0F);
        kv.SetValue(0, position, 0, d, static_cast<float>(position));
      }
      sum += position;
      ++count;
    }
    MakeReferenceAttention()->Gqa({qkv.view(), out.view(), shape, 0.5F, kv.view(), {}, kv.prefix()},
                                  kv.batch());
    EXPECT_FLOAT_EQ(out.at(0, 0), static_cast<float>(sum / count)) << length;
  }
}

TEST(ReferenceAttention, ThePrefixIsScoredThroughTheSecondQuery) {
  const GqaShape shape{1, 1, 2, 2, 1};
  PagedKv kv(shape, 2, DType::kFloat32, {{1, 3}}, 1, true, {1, false});
  for (int position : {0, 2}) {
    for (int d = 0; d < 2; ++d) {
      kv.SetKey(0, position, 0, d, 1.0F);
      kv.SetValue(0, position, 0, d, position == 0 ? 1.0F : 0.0F);
    }
  }
  HostMatrix qkv(DType::kFloat32, 1, shape.qkv_width());
  HostMatrix q2(DType::kFloat32, 1, 2);
  for (int d = 0; d < 2; ++d) qkv.set(0, d, 1.0F);
  for (int d = 0; d < 2; ++d) q2.set(0, d, 3.0F);
  HostMatrix out(DType::kFloat32, 1, 2);
  GqaParams params{qkv.view(), out.view(), shape, 1.0F, kv.view(), {}, kv.prefix()};
  params.prefix.q2 = q2.view();
  MakeReferenceAttention()->Gqa(params, kv.batch());
  EXPECT_FLOAT_EQ(out.at(0, 0), Weight(6.0 - 2.0));
}

TEST(ReferenceAttention, EncodersSeeHalfAWindowToBothSides) {
  const GqaShape shape{1, 1, 2, 2, 3};  // |p - k| <= 1
  HostMatrix qkv(DType::kFloat32, 6, shape.qkv_width());
  for (int64_t t = 0; t < 6; ++t) {
    for (int64_t c = 0; c < 6; ++c) qkv.set(t, c, c < 4 ? 1.0F : static_cast<float>(t * t));
  }
  HostMatrix out(DType::kFloat32, 6, 2);
  const int32_t query_start[] = {0, 4, 6};
  MakeReferenceAttention()->Encode({qkv.view(), out.view(), shape, 1.0F, {}}, {query_start, 3});
  const double want[] = {1 / 2.0, 5 / 3.0, 14 / 3.0, 13 / 2.0, 41 / 2.0, 41 / 2.0};
  for (int64_t t = 0; t < 6; ++t) EXPECT_FLOAT_EQ(out.at(t, 1), static_cast<float>(want[t])) << t;
}

TEST(ReferenceAttention, InterleavedPairsTurnSideBySide) {
  const GqaShape shape{1, 1, 4, 4, 0};
  const RopeTables rope(2, 4);
  HostMatrix qkv(DType::kFloat32, 1, shape.qkv_width());
  for (int i = 0; i < 12; ++i) qkv.set(0, i, static_cast<float>(i + 1));
  NormRopeWriteParams params{.qkv = qkv.view(), .shape = shape, .rope = rope.view()};
  params.rope.interleaved = true;
  const int32_t row = 1;
  MakeReferenceAttention()->NormRope(params, {&row, 1});
  EXPECT_FLOAT_EQ(qkv.at(0, 0), static_cast<float>(std::cos(1.0) - 2 * std::sin(1.0)));
  EXPECT_FLOAT_EQ(qkv.at(0, 1), static_cast<float>(2 * std::cos(1.0) + std::sin(1.0)));
  EXPECT_FLOAT_EQ(qkv.at(0, 6), static_cast<float>(7 * std::cos(0.01) - 8 * std::sin(0.01)));
  EXPECT_FLOAT_EQ(qkv.at(0, 8), 9.0F);  // a value
}

TEST(ReferenceAttention, NormsOfEveryKind) {
  const GqaShape shape{2, 1, 2, 2, 0};
  const std::vector<float> weights = {1, 2, 3, 4};
  const int32_t row = 0;
  const auto run = [&](QkNorm norm, bool per_head) {
    HostMatrix qkv(DType::kFloat32, 1, shape.qkv_width());
    for (int i = 0; i < 8; ++i) qkv.set(0, i, static_cast<float>(i + 1));
    const NormRopeWriteParams params{.qkv = qkv.view(),
                                     .shape = shape,
                                     .qk_norm = norm,
                                     .q_norm = weights.data(),
                                     .weights_per_head = per_head,
                                     .norm_eps = 0.0F};
    MakeReferenceAttention()->NormRope(params, {&row, 1});
    return qkv;
  };
  const auto per_head = run(QkNorm::kPerHead, false);
  EXPECT_FLOAT_EQ(per_head.at(0, 3), static_cast<float>(4 * 2 / std::sqrt(12.5)));
  EXPECT_FLOAT_EQ(run(QkNorm::kPerHead, true).at(0, 3),
                  static_cast<float>(4 * 4 / std::sqrt(12.5)));
  const auto full = run(QkNorm::kFullWidth, false);
  EXPECT_FLOAT_EQ(full.at(0, 2), static_cast<float>(3 * 3 / std::sqrt(7.5)));
  EXPECT_FLOAT_EQ(full.at(0, 5), static_cast<float>(6 / std::sqrt(30.5)));  // a key, of weight 1
  const auto layer = run(QkNorm::kPerHeadLayerNorm, true);
  EXPECT_FLOAT_EQ(layer.at(0, 2), -3.0F);
  EXPECT_FLOAT_EQ(layer.at(0, 3), 4.0F);
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
