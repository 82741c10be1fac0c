// The CUDA kernels of latent attention, emulated, against the reference.
#include <cmath>
#include <cstdint>
#include <vector>

#include "attention/cuda/launch_mla.h"
#include "attention/cuda/mla_args.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "gtest/gtest.h"
#include "tests/attention/emulated_mla.h"
#include "tests/attention/mla_harness.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedQueue;
using ::quire::testing::CacheShape;
using ::quire::testing::EmulatedMla;
using ::quire::testing::HostMatrix;
using ::quire::testing::KvEntry;
using ::quire::testing::MlaBound;
using ::quire::testing::MlaDrive;
using ::quire::testing::MlaQueries;
using ::quire::testing::PagedKv;
using ::quire::testing::RunAbsorbed;
using ::quire::testing::RunAbsorbedWhole;
using ::quire::testing::RunPrefill;
using ::quire::testing::UpProjection;

// The bounds of MlaBound are those of products of bf16 pairs, probabilities too, where the cache is
// bf16, and of fp32 sums.
constexpr CpuIsa kBounds = CpuIsa::kAvx512Bf16;
constexpr DType kTypes[] = {DType::kBFloat16, DType::kFloat32};
constexpr MlaShape kSmall = testing::kSmallMla;
constexpr MlaShape kRopes = testing::kSmallMlaOfRopes;
constexpr MlaShape kLite = {16, 512, 128, 64, 128};  // DeepSeek-V2-Lite

void ExpectAbsorbed(const MlaShape& shape, int block_tokens, const std::vector<KvEntry>& entries,
                    DType cache, DType act, DType latent_type, const MlaDrive& drive = {}) {
  PagedKv kv(CacheShape(shape), block_tokens, cache, entries);
  kv.FillNormal(1);
  const MlaQueries queries(shape, act, latent_type, kv.num_tokens());
  EmulatedMla mla(drive);
  const HostMatrix got =
      RunAbsorbed(mla, shape, kv, kv.batch(), queries.latent.view(), queries.q.view());
  const HostMatrix want = RunAbsorbed(*MakeReferenceMla(), shape, kv, kv.batch(),
                                      queries.latent.view(), queries.q.view());
  const DType widest = act == DType::kFloat32 ? act : latent_type;
  EXPECT_TRUE(Near(got, want, [&](int64_t r, int64_t c) {
    return MlaBound(kBounds, cache, widest, act, shape.latent_dim + shape.rope_dim, want.at(r, c));
  })) << DTypeName(cache);
}

void ExpectPrefill(const MlaShape& shape, int block_tokens, const std::vector<KvEntry>& entries,
                   DType dtype, const MlaDrive& drive = {}) {
  PagedKv kv(CacheShape(shape), block_tokens, dtype, entries);
  kv.FillNormal(1);
  HostMatrix q(dtype, kv.num_tokens(), shape.q_width(), shape.q_width() + 6);
  q.FillNormal(2);
  UpProjection projection(shape);
  EmulatedMla mla(drive);
  const HostMatrix got = RunPrefill(mla, shape, kv, kv.batch(), q.view(), projection);
  const HostMatrix want =
      RunPrefill(*MakeReferenceMla(), shape, kv, kv.batch(), q.view(), projection);
  EXPECT_TRUE(Near(got, want, [&](int64_t r, int64_t c) {
    return MlaBound(kBounds, dtype, dtype, dtype, shape.head_dim(), want.at(r, c));
  })) << DTypeName(dtype);
}

TEST(CudaMlaAbsorbedTest, MatchesTheReferenceAtTheEdgesOfPagesTilesAndSplits) {
  for (DType dtype : kTypes) {
    ExpectAbsorbed(kSmall, 16, {{0, 4}, {2, 5}, {0, 1}, {1, 2}, {0, 3}}, dtype, dtype, dtype);
    ExpectAbsorbed(kSmall, 16, {{1, 1}, {1, 2}, {3, 3}, {1, 15}, {1, 16}, {1, 17}}, dtype, dtype,
                   dtype);
    ExpectAbsorbed(kSmall, 32, {{2, 32}, {1, 33}, {1, 63}}, dtype, dtype, dtype);
    ExpectAbsorbed(kSmall, 64, {{2, 65}, {1, 255}, {1, 256}, {1, 257}}, dtype, dtype, dtype);
  }
}

TEST(CudaMlaAbsorbedTest, SplitsWithBlocksOfTheirOwnMatchTheReference) {
  for (DType dtype : kTypes) {
    ExpectAbsorbed(kSmall, 16, {{0, 4}, {2, 5}, {0, 1}, {1, 2}, {0, 3}}, dtype, dtype, dtype);
    ExpectAbsorbed(kSmall, 16, {{1, 1}, {1, 256}, {2, 258}, {1, 520}}, dtype, dtype, dtype,
                   {.split_rows = true, .max_blocks = 5, .seed = 1});
  }
}

TEST(CudaMlaAbsorbedTest, OddSizesMatchTheReference) {
  for (DType dtype : kTypes) {
    ExpectAbsorbed({1, 2, 2, 2, 2}, 16, {{2, 20}}, dtype, dtype, dtype);
    ExpectAbsorbed({17, 34, 10, 6, 14}, 16, {{2, 40}}, dtype, dtype, dtype);
    ExpectAbsorbed({33, 98, 8, 2, 8}, 32, {{1, 40}}, dtype, dtype, dtype);
    ExpectAbsorbed({2, 130, 8, 14, 8}, 16, {{1, 40}}, dtype, dtype, dtype);
    ExpectAbsorbed({2, 512, 8, 128, 8}, 64, {{1, 20}}, dtype, dtype, dtype);
  }
}

TEST(CudaMlaAbsorbedTest, HeadsWithRotatedKeysOfTheirOwnMatchTheReference) {
  for (DType dtype : kTypes) {
    ExpectAbsorbed(kRopes, 16, {{3, 70}, {1, 5}}, dtype, dtype, dtype);
    ExpectAbsorbed({18, 96, 48, 16, 32, true}, 64, {{1, 70}}, dtype, dtype, dtype, {.seed = 3});
  }
}

TEST(CudaMlaAbsorbedTest, QueriesMayBeWiderThanTheCache) {
  const DType wide = DType::kFloat32, narrow = DType::kBFloat16;
  ExpectAbsorbed(kSmall, 16, {{3, 70}}, narrow, narrow, wide);
  ExpectAbsorbed(kSmall, 16, {{3, 70}}, narrow, wide, wide);
  ExpectAbsorbed(kRopes, 16, {{3, 70}}, narrow, wide, wide);
  ExpectAbsorbed(kSmall, 16, {{3, 70}}, wide, narrow, wide);
}

// Generated rows stand behind the prompts of a batch.
TEST(CudaMlaAbsorbedTest, RowsBeforeTheFirstAreLeftOut) {
  PagedKv kv(CacheShape(kSmall), 16, DType::kBFloat16, {{4, 20}, {1, 40}, {2, 3}});
  kv.FillNormal(1);
  const MlaQueries queries(kSmall, DType::kBFloat16, DType::kBFloat16, 7);
  EmulatedMla mla({});
  const HostMatrix whole =
      RunAbsorbed(mla, kSmall, kv, kv.batch(), queries.latent.view(), queries.q.view());
  for (int64_t first : {2, 4, 6}) {
    HostMatrix out(DType::kBFloat16, 7 - first, kSmall.latent_width());
    mla.Absorbed({.q_latent = queries.latent.view().Rows(first, 7 - first),
                  .q = queries.q.view().Rows(first, 7 - first),
                  .out = out.view(),
                  .first_row = first,
                  .shape = kSmall,
                  .scale = testing::UnitScale(kSmall.latent_dim + kSmall.rope_dim),
                  .kv = kv.view()},
                 kv.batch());
    for (int64_t r = first; r < 7; ++r) EXPECT_TRUE(out.SameRowBits(r - first, whole, r)) << r;
  }
}

TEST(CudaMlaAbsorbedTest, LargeSizesMatchTheReference) {
  for (DType dtype : kTypes) {
    ExpectAbsorbed(kLite, 64, {{1, 40}}, dtype, dtype, dtype, {.seed = 2});
  }
}

TEST(CudaMlaPrefillTest, MatchesTheReferenceAtTheEdgesOfPagesTilesAndBlocks) {
  for (DType dtype : kTypes) {
    ExpectPrefill(kSmall, 16, {{0, 4}, {2, 5}, {0, 1}, {1, 2}, {0, 3}}, dtype);
    ExpectPrefill(kSmall, 16, {{1, 1}, {2, 2}, {15, 15}, {17, 17}, {2, 65}, {64, 64}}, dtype);
    ExpectPrefill(kSmall, 32, {{20, 127}, {1, 128}, {130, 130}}, dtype, {.seed = 1});
    ExpectPrefill(kSmall, 64, {{129, 150}}, dtype, {.capacity = 64});
  }
}

TEST(CudaMlaPrefillTest, ChunksOfSeveralPiecesMatchTheReference) {
  for (DType dtype : kTypes) {
    ExpectPrefill(kSmall, 16, {{3, 70}, {5, 5}, {65, 65}, {1, 200}}, dtype, {.capacity = 128});
    std::vector<KvEntry> many(kMaxMlaPieces + 2, KvEntry{1, 3});
    ExpectPrefill({1, 8, 2, 2, 2}, 16, many, dtype);
  }
}

TEST(CudaMlaPrefillTest, OddSizesMatchTheReference) {
  for (DType dtype : kTypes) {
    ExpectPrefill({1, 2, 2, 2, 2}, 16, {{20, 20}}, dtype, {.kv_gap = 2});
    ExpectPrefill({2, 34, 10, 6, 14}, 16, {{40, 70}}, dtype, {.seed = 2});
    ExpectPrefill({1, 32, 72, 34, 66}, 16, {{5, 70}}, dtype);
    ExpectPrefill({1, 32, 130, 8, 16}, 16, {{5, 40}}, dtype, {.seed = 5});
    ExpectPrefill({1, 32, 16, 8, 256}, 16, {{3, 70}}, dtype, {.capacity = 64});
  }
}

TEST(CudaMlaPrefillTest, HeadsWithRotatedKeysOfTheirOwnMatchTheReference) {
  for (DType dtype : kTypes) {
    ExpectPrefill(kRopes, 16, {{70, 70}, {1, 5}}, dtype);
    ExpectPrefill({2, 96, 48, 16, 32, true}, 64, {{3, 70}}, dtype);
  }
}

TEST(CudaMlaPrefillTest, LargeSizesMatchTheReference) {
  const MlaShape lite = {1, 64, 128, 64, 128};
  for (DType dtype : kTypes) ExpectPrefill(lite, 64, {{20, 70}}, dtype, {.seed = 2});
}

TEST(CudaMlaPrefillTest, RowsBeforeTheFirstAreLeftAlone) {
  PagedKv kv(CacheShape(kSmall), 16, DType::kBFloat16, {{1, 20}, {2, 40}, {3, 3}});
  kv.FillNormal(1);
  HostMatrix q(DType::kBFloat16, 6, kSmall.q_width());
  q.FillNormal(2);
  UpProjection projection(kSmall);
  EmulatedMla mla({});
  const HostMatrix whole = RunPrefill(mla, kSmall, kv, kv.batch(), q.view(), projection);
  const HostMatrix some = RunPrefill(mla, kSmall, kv, kv.batch(), q.view(), projection, 1);
  EXPECT_TRUE(std::isnan(some.at(0, 0)));
  for (int64_t r = 1; r < 6; ++r) EXPECT_TRUE(some.SameRowBits(r, whole, r)) << r;
}

// The two forms are of one attention.
TEST(CudaMlaTest, TheFormsAgree) {
  PagedKv kv(CacheShape(kSmall), 16, DType::kFloat32, {{5, 40}});
  kv.FillNormal(1);
  HostMatrix q(DType::kFloat32, 5, kSmall.q_width());
  q.FillNormal(2);
  UpProjection projection(kSmall);
  EmulatedMla mla({});
  const HostMatrix a = RunAbsorbedWhole(mla, kSmall, kv, q, projection);
  const HostMatrix b = RunPrefill(mla, kSmall, kv, kv.batch(), q.view(), projection);
  // Sums of some 50 terms of order 1, in fp32, on either way.
  EXPECT_TRUE(Near(a, b, [](int64_t, int64_t) { return 100 * 0x1p-23; }));
}

TEST(CudaMlaTest, NoRowsAreNoWork) {
  EmulatedQueue queue;
  MlaAbsorbedArgs absorbed{.shape = kSmall, .pages = {.block_tokens = 16}};
  absorbed.split_rows = true;
  cuda::MlaAbsorbed(queue, absorbed);
  cuda::MlaPrefill(queue, {.shape = kSmall, .pages = {.block_tokens = 16}});
  cuda::MlaGather(queue, {.pages = {.block_tokens = 16}});
  EXPECT_TRUE(queue.Finish().ok()) << queue.Finish();
}

}  // namespace
}  // namespace quire
