// Latent attention of the CPU backend at the edges of pages, tiles, splits and head blocks, on
// every instruction set, over a cache whose unseen memory is NaN and whose unseen block ids are
// wild.
#include <cmath>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/attention/mla_harness.h"
#include "tests/testing/isas.h"

namespace quire {
namespace {

using ::quire::testing::AbsorbedMatchesReference;
using ::quire::testing::CacheShape;
using ::quire::testing::CpuMlaBackend;
using ::quire::testing::HostMatrix;
using ::quire::testing::KvEntry;
using ::quire::testing::PagedKv;
using ::quire::testing::PrefillMatchesReference;
using ::quire::testing::UpProjection;

struct MlaCase {
  const char* name;
  MlaShape shape;  // H, R, Dn, Dr, Dv, rope_per_head
  int block_tokens;
  std::vector<KvEntry> entries;  // query tokens, kv tokens
};

const MlaCase kCases[] = {
    {"OneToken", {4, 32, 16, 8, 16}, 16, {{1, 1}}},
    {"TwoTokens", {4, 32, 16, 8, 16}, 16, {{1, 2}}},
    {"ThreeTokens", {4, 32, 16, 8, 16}, 16, {{3, 3}}},
    {"PageEdgeMinusOne", {4, 32, 16, 8, 16}, 16, {{1, 15}}},
    {"PageEdge", {4, 32, 16, 8, 16}, 16, {{1, 16}}},
    {"PageEdgePlusOne", {4, 32, 16, 8, 16}, 16, {{1, 17}}},
    {"ChunkPageEdgeMinusOne", {4, 32, 16, 8, 16}, 32, {{2, 63}}},
    {"ChunkPageEdge", {4, 32, 16, 8, 16}, 32, {{2, 64}}},
    {"ChunkPageEdgePlusOne", {4, 32, 16, 8, 16}, 32, {{2, 65}}},
    {"TileEdgeMinusOne", {4, 32, 16, 8, 16}, 64, {{1, 127}}},
    {"TileEdge", {4, 32, 16, 8, 16}, 64, {{1, 128}}},
    {"TileEdgePlusOne", {4, 32, 16, 8, 16}, 64, {{1, 129}}},
    {"SplitEdgeMinusOne", {2, 32, 16, 8, 16}, 16, {{1, 511}}},
    {"SplitEdge", {2, 32, 16, 8, 16}, 32, {{1, 512}}},
    {"SplitEdgePlusOne", {2, 32, 16, 8, 16}, 64, {{1, 513}}},
    {"SeveralSplits", {2, 32, 16, 8, 16}, 16, {{1, 1700}}},
    {"SeveralSplitsOfAChunk", {2, 32, 16, 8, 16}, 64, {{70, 1100}}},
    {"OneHead", {1, 32, 16, 8, 16}, 16, {{5, 40}}},
    {"ThreeHeads", {3, 32, 16, 8, 16}, 16, {{5, 40}}},
    {"FortyNineHeads", {49, 32, 16, 8, 16}, 16, {{3, 40}}},
    {"HundredHeads", {100, 32, 8, 8, 8}, 16, {{2, 40}}},
    {"DimsOfNoVector", {3, 34, 10, 6, 14}, 16, {{5, 70}}},
    {"SmallestDims", {3, 2, 2, 2, 2}, 16, {{5, 70}}},
    {"ValuesWiderThanKeys", {4, 64, 16, 16, 48}, 16, {{5, 70}}},
    {"Fairytale", {8, 96, 48, 16, 32}, 16, {{9, 150}}},
    {"DeepSeekV2Lite", {16, 512, 128, 64, 128}, 64, {{2, 130}}},
    {"DeepSeekV3", {128, 512, 128, 64, 128}, 64, {{1, 9}}},
    {"PromptOfManyItems", {2, 32, 16, 8, 16}, 16, {{200, 200}}},
    {"SeveralPiecesOfAChunk", {2, 32, 16, 8, 16}, 16, {{3, 70}, {5, 5}, {65, 65}, {1, 300}}},
    {"ChunksFullToTheLastPage", {2, 32, 16, 8, 16}, 16, {{64, 64}, {3, 448}, {2, 1}, {1, 512}}},
    {"DecodesOfManyLengths",
     {4, 32, 16, 8, 16},
     16,
     {{1, 1}, {1, 40}, {1, 600}, {1, 16}, {1, 128}, {1, 129}, {1, 513}, {1, 2}, {1, 5}}},
    {"RopePerHead", {4, 32, 16, 8, 16, true}, 16, {{5, 140}}},
    {"RopePerHeadOfManyHeads", {49, 32, 16, 8, 16, true}, 16, {{2, 70}}},
    {"RopePerHeadSeveralSplits", {2, 34, 10, 6, 14, true}, 64, {{3, 1100}}},
};

std::vector<const MlaCase*> AllCases() {
  std::vector<const MlaCase*> cases;
  for (const MlaCase& c : kCases) cases.push_back(&c);
  return cases;
}

class CpuMlaCaseTest : public ::testing::TestWithParam<std::tuple<CpuIsa, const MlaCase*>> {
 protected:
  static std::vector<KvEntry> Entries(const MlaCase& c) {
    std::vector<KvEntry> entries = c.entries;
    for (KvEntry& e : entries) e.query_tokens = std::min(e.query_tokens, e.kv_tokens);
    return entries;
  }
};

TEST_P(CpuMlaCaseTest, AbsorbedMatchesTheReference) {
  const auto [isa, c] = GetParam();
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    CpuMlaBackend backend(isa, c->shape, dtype);
    PagedKv kv(CacheShape(c->shape), c->block_tokens, dtype, Entries(*c));
    kv.FillNormal(1);
    EXPECT_TRUE(AbsorbedMatchesReference(isa, backend, c->shape, kv, dtype, dtype, 2))
        << DTypeName(dtype);
  }
}

TEST_P(CpuMlaCaseTest, PrefillMatchesTheReference) {
  const auto [isa, c] = GetParam();
  for (DType dtype : {DType::kBFloat16, DType::kFloat32}) {
    CpuMlaBackend backend(isa, c->shape, dtype);
    PagedKv kv(CacheShape(c->shape), c->block_tokens, dtype, Entries(*c));
    kv.FillNormal(1);
    EXPECT_TRUE(PrefillMatchesReference(isa, backend, c->shape, kv, 2)) << DTypeName(dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuMlaCaseTest,
                         ::testing::Combine(testing::AllIsas(), ::testing::ValuesIn(AllCases())),
                         [](const ::testing::TestParamInfo<CpuMlaCaseTest::ParamType>& info) {
                           return std::string(CpuIsaName(std::get<0>(info.param))) + "_" +
                                  std::get<1>(info.param)->name;
                         });

class CpuMlaTest : public ::testing::TestWithParam<CpuIsa> {};

constexpr MlaShape kShape = {4, 32, 16, 8, 16};
constexpr MlaShape kShapes[] = {kShape, {4, 32, 16, 8, 16, true}};

TEST_P(CpuMlaTest, LatentQueriesMayBeWiderThanTheCache) {
  CpuMlaBackend backend(GetParam(), kShape, DType::kBFloat16);
  PagedKv kv(CacheShape(kShape), 16, DType::kBFloat16, {{1, 50}, {1, 700}});
  kv.FillNormal(3);
  EXPECT_TRUE(AbsorbedMatchesReference(GetParam(), backend, kShape, kv, DType::kBFloat16,
                                       DType::kFloat32, 4));
}

TEST_P(CpuMlaTest, LargeScoresDoNotOverflow) {
  CpuMlaBackend backend(GetParam(), kShape, DType::kFloat32);
  PagedKv kv(CacheShape(kShape), 16, DType::kFloat32, {{1, 70}});
  kv.FillNormal(3);
  HostMatrix q_latent(DType::kFloat32, 1, kShape.latent_width());
  HostMatrix q(DType::kFloat32, 1, kShape.q_width());
  q_latent.FillNormal(1, 1000.0F);  // one key takes it all
  q.FillNormal(2, 1000.0F);
  const auto reference = MakeReferenceMla();
  EXPECT_TRUE(testing::Near(
      testing::RunAbsorbed(backend.mla(), kShape, kv, kv.batch(), q_latent.view(), q.view()),
      testing::RunAbsorbed(*reference, kShape, kv, kv.batch(), q_latent.view(), q.view()),
      [](int64_t, int64_t) { return 0.05; }));
}

// Weights and queries in common: q_lat = q_n W_UK^T, o = o_lat W_UV.
TEST_P(CpuMlaTest, AbsorbedAndUnabsorbedAgree) {
  for (const MlaShape& shape : kShapes) {
    CpuMlaBackend backend(GetParam(), shape, DType::kFloat32);
    PagedKv kv(CacheShape(shape), 16, DType::kFloat32, {{1, 700}, {3, 40}});
    kv.FillNormal(3);
    HostMatrix q(DType::kFloat32, 4, shape.q_width());
    q.FillNormal(1);
    UpProjection projection(shape);
    const HostMatrix want =
        testing::RunPrefill(backend.mla(), shape, kv, kv.batch(), q.view(), projection);
    const HostMatrix got = testing::RunAbsorbedWhole(backend.mla(), shape, kv, q, projection);
    // Both have errors of MlaBound; a key's sum has R terms more, a value's too.
    EXPECT_TRUE(testing::Near(got, want, [&](int64_t r, int64_t c) {
      return 2 * testing::MlaBound(GetParam(), DType::kFloat32, DType::kFloat32, DType::kFloat32,
                                   shape.head_dim() + shape.latent_dim, want.at(r, c));
    }));
  }
}

TEST_P(CpuMlaTest, AbsorbedAndUnabsorbedAgreeInBf16) {
  for (const MlaShape& shape : kShapes) {
    CpuMlaBackend backend(GetParam(), shape, DType::kBFloat16);
    PagedKv kv(CacheShape(shape), 16, DType::kBFloat16, {{1, 700}, {3, 40}});
    kv.FillNormal(3);
    HostMatrix q(DType::kBFloat16, 4, shape.q_width());
    q.FillNormal(1);
    UpProjection projection(shape);
    const HostMatrix want =
        testing::RunPrefill(backend.mla(), shape, kv, kv.batch(), q.view(), projection);
    const HostMatrix got = testing::RunAbsorbedWhole(backend.mla(), shape, kv, q, projection);
    double error = 0.0;
    double size = 0.0;
    for (int64_t r = 0; r < 4; ++r) {
      for (int64_t c = 0; c < shape.out_width(); ++c) {
        error += std::pow(got.at(r, c) - want.at(r, c), 2);
        size += std::pow(want.at(r, c), 2);
      }
    }
    // Scores of size 1 and values carry about three roundings of 2^-9 each way.
    EXPECT_LT(std::sqrt(error / size), 6 * 0x1p-8);
  }
}

TEST_P(CpuMlaTest, EachFormLeavesTheOthersRowsAlone) {
  CpuMlaBackend backend(GetParam(), kShape, DType::kBFloat16);
  PagedKv kv(CacheShape(kShape), 16, DType::kBFloat16, {{1, 30}, {2, 9}, {7, 7}, {20, 600}});
  kv.FillNormal(3);
  const std::vector<uint8_t> pool = kv.bytes();
  HostMatrix q_latent(DType::kBFloat16, 3, kShape.latent_width());
  HostMatrix q(DType::kBFloat16, 30, kShape.q_width());
  q_latent.FillNormal(1);
  q.FillNormal(2);
  UpProjection projection(kShape);
  const HostMatrix absorbed =
      testing::RunAbsorbed(backend.mla(), kShape, kv, kv.batch(), q_latent.view(), q.view());
  EXPECT_EQ(absorbed.view().rows, 3);
  const HostMatrix all =
      testing::RunPrefill(backend.mla(), kShape, kv, kv.batch(), q.view(), projection);
  const HostMatrix prompts =
      testing::RunPrefill(backend.mla(), kShape, kv, kv.batch(), q.view(), projection, 3);
  for (int64_t r = 0; r < 3; ++r) EXPECT_TRUE(std::isnan(prompts.at(r, 0))) << r;
  for (int64_t r = 3; r < 30; ++r) EXPECT_TRUE(prompts.SameRowBits(r, all, r)) << r;
  EXPECT_EQ(kv.bytes(), pool);
}

TEST_P(CpuMlaTest, AbsorbedRowsMayBeginAndEndAnywhere) {
  CpuMlaBackend backend(GetParam(), kShape, DType::kBFloat16);
  PagedKv kv(CacheShape(kShape), 16, DType::kBFloat16, {{1, 30}, {4, 9}, {1, 700}});
  kv.FillNormal(3);
  HostMatrix q_latent(DType::kBFloat16, 6, kShape.latent_width());
  HostMatrix q(DType::kBFloat16, 6, kShape.q_width());
  q_latent.FillNormal(1);
  q.FillNormal(2);
  const HostMatrix all =
      testing::RunAbsorbed(backend.mla(), kShape, kv, kv.batch(), q_latent.view(), q.view());
  for (int64_t first : {0, 2, 4}) {
    HostMatrix two(DType::kBFloat16, 2, kShape.latent_width());
    backend.mla().Absorbed({.q_latent = q_latent.view().Rows(first, 2),
                            .q = q.view().Rows(first, 2),
                            .out = two.view(),
                            .first_row = first,
                            .shape = kShape,
                            .scale = testing::UnitScale(40),
                            .kv = kv.view()},
                           kv.batch());
    for (int64_t r = 0; r < 2; ++r) EXPECT_TRUE(two.SameRowBits(r, all, first + r)) << first + r;
  }
}

TEST_P(CpuMlaTest, NoRowsAreNoWork) {
  CpuMlaBackend backend(GetParam(), kShape, DType::kBFloat16);
  PagedKv kv(CacheShape(kShape), 16, DType::kBFloat16, {{2, 30}});
  kv.FillNormal(3);
  HostMatrix q_latent(DType::kBFloat16, 0, kShape.latent_width());
  HostMatrix q(DType::kBFloat16, 2, kShape.q_width());
  q.FillNormal(1);
  testing::RunAbsorbed(backend.mla(), kShape, kv, kv.batch(), q_latent.view(), q.view());
  UpProjection projection(kShape);
  const HostMatrix out =
      testing::RunPrefill(backend.mla(), kShape, kv, kv.batch(), q.view(), projection, 2);
  EXPECT_TRUE(std::isnan(out.at(0, 0)));
}

TEST_P(CpuMlaTest, ARowOfNoEntryIsABug) {
  CpuMlaBackend backend(GetParam(), kShape, DType::kBFloat16);
  PagedKv kv(CacheShape(kShape), 16, DType::kBFloat16, {{2, 30}, {3, 5}});
  kv.FillNormal(3);
  HostMatrix q(DType::kBFloat16, 5, kShape.q_width());
  q.FillNormal(1);
  UpProjection projection(kShape);
  EXPECT_DEATH(testing::RunPrefill(backend.mla(), kShape, kv, kv.batch(), q.view(), projection, 1),
               "\\(2 vs. 1\\)");
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuMlaTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
