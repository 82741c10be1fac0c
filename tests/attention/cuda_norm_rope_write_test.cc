// The CUDA kernel of QK-norm, rotation and cache write, emulated, against the reference.
#include <cstdint>
#include <utility>
#include <vector>

#include "attention/cuda/make_rope_args.h"
#include "attention/cuda/norm_rope_write.cuh"
#include "core/cuda/emulation/launcher.h"
#include "gtest/gtest.h"
#include "tests/attention/emulated_kv.h"
#include "tests/attention/norm_rope_harness.h"
#include "tests/testing/matrix.h"
#include "tests/testing/paged_kv.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::testing::EmulatedArguments;
using ::quire::testing::EmulatedMatrix;
using ::quire::testing::HostMatrix;
using ::quire::testing::kRopeRows;
using ::quire::testing::kRopeTypes;
using ::quire::testing::NormRopeParamsOf;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeCase;
using ::quire::testing::RopeNormWeights;
using ::quire::testing::RopeTables;

// Attention's calls on the emulation. What a kernel may touch is the arguments alone.
class EmulatedNormRope {
 public:
  explicit EmulatedNormRope(uint32_t seed = 0) : seed_(seed) {}

  void NormRope(const NormRopeWriteParams& params, DeviceArray<const int32_t> rope_rows) {
    NormRopeWriteParams used = params;
    used.kv = {};
    Run(used, MakeNormRopeArgs(used, rope_rows));
  }
  void NormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch) {
    Run(params, MakeNormRopeWriteArgs(params, batch));
  }
  absl::Status status() const { return status_; }

 private:
  void Run(const NormRopeWriteParams& params, const NormRopeArgs& args) {
    const GqaShape& shape = params.shape;
    const bool each = params.weights_per_head || params.qk_norm == QkNorm::kFullWidth;
    EmulatedArguments memory, written;
    memory.Add("qkv", params.qkv, EmulatedMatrix::kInput);
    memory.Add("q_norm", params.q_norm, int64_t{each ? shape.num_heads : 1} * shape.head_dim);
    memory.Add("k_norm", params.k_norm, int64_t{each ? shape.num_kv_heads : 1} * shape.head_dim);
    memory.Add(params.rope);
    memory.Add("rope_rows", args.rope_rows);
    memory.Add("rope_rows2", args.rope_rows2);
    memory.Add("slots", args.slots);
    if (params.kv.base != nullptr) memory.Add(params.kv, EmulatedArguments::State::kUnwritten);
    written.Add("q2", params.q2, EmulatedMatrix::kOutput);
    EmulatedLauncher launcher({.seed = seed_, .resident_blocks = seed_ == 0 ? 1 : 3});
    cuda_emulated::LaunchNormRope(launcher, args);
    status_.Update(launcher.status());
    EXPECT_TRUE(written.AreMatricesWritten());
  }

  uint32_t seed_;
  absl::Status status_;
};

class CudaNormRopeWriteTest : public ::testing::Test {
 protected:
  static void ExpectMatchesReference(const std::vector<RopeCase>& cases, uint32_t seed = 0) {
    EmulatedNormRope backend(seed);
    testing::ExpectNormRopeMatchesReference(backend, cases);
    EXPECT_TRUE(backend.status().ok()) << backend.status();
  }
};

TEST_F(CudaNormRopeWriteTest, MatchesTheReferenceInEveryType) {
  std::vector<RopeCase> cases = testing::RopeTypeCases();
  for (QkNorm norm : {QkNorm::kNone, QkNorm::kFullWidth}) {
    for (DType act : kRopeTypes) cases.push_back({.norm = norm, .act = act});
  }
  ExpectMatchesReference(cases);
}

TEST_F(CudaNormRopeWriteTest, MatchesTheReferenceAtAnyHeadDim) {
  ExpectMatchesReference(testing::RopeHeadDimCases(), /*seed=*/1);
}

// A head that its lanes do not hold at once.
TEST_F(CudaNormRopeWriteTest, WideHeadsMatchTheReference) {
  for (QkNorm norm : {QkNorm::kPerHead, QkNorm::kPerHeadLayerNorm, QkNorm::kFullWidth}) {
    for (int rotary_dim : {64, 502, 1030}) {
      ExpectMatchesReference({{.shape = {2, 1, 1030, 1100, 0},
                               .rotary_dim = rotary_dim,
                               .norm = norm,
                               .entries = {{2, 18}}}});
    }
  }
}

TEST_F(CudaNormRopeWriteTest, ValuesMayHaveADimOfTheirOwn) {
  ExpectMatchesReference(testing::RopeValueDimCases());
}

TEST_F(CudaNormRopeWriteTest, EveryNormMatchesTheReference) {
  ExpectMatchesReference(testing::RopeNormCases());
}

TEST_F(CudaNormRopeWriteTest, RotationMayBePartialOrNone) {
  ExpectMatchesReference(testing::PartialRopeCases(), /*seed=*/2);
}

TEST_F(CudaNormRopeWriteTest, QueriesMayBeTurnedTwice) {
  for (QkNorm norm : {QkNorm::kNone, QkNorm::kPerHead, QkNorm::kFullWidth}) {
    EmulatedNormRope backend;
    testing::ExpectQueriesTurnedTwice(backend, {.rotary_dim = 32, .norm = norm});
    EXPECT_TRUE(backend.status().ok()) << backend.status();
  }
}

// Law of attention.h: alone or among others, at another place in rows of another alignment, with
// the threads in another order.
TEST_F(CudaNormRopeWriteTest, ARowHasTheSameBitsAlone) {
  for (QkNorm norm : {QkNorm::kPerHead, QkNorm::kPerHeadLayerNorm, QkNorm::kFullWidth}) {
    for (const auto& [dim, rotary_dim] : {std::pair{40, 40}, {64, 48}, {128, 128}}) {
      for (DType cache : kRopeTypes) {
        const RopeCase c{.shape = {4, 2, dim, dim, 0}, .rotary_dim = rotary_dim, .norm = norm};
        const RopeTables rope(kRopeRows, rotary_dim);
        const RopeNormWeights weights(c.shape);
        NormRopeWriteParams params = NormRopeParamsOf(c, weights, rope);
        constexpr int kRows = 11;
        // From an even position on, and from odd ones: two tokens share words of the cache.
        const int32_t kv_tokens = dim == 40 ? 39 : 40;
        PagedKv kv(c.shape, 16, cache, {{kRows, kv_tokens}});
        PagedKv one_by_one(c.shape, 16, cache, {{kRows, kv_tokens}});
        HostMatrix qkv(c.act, kRows, c.shape.qkv_width());
        qkv.FillNormal(1);
        HostMatrix rows(c.act, kRows, c.shape.qkv_width(), c.shape.qkv_width() + 1);
        for (int64_t r = 0; r < kRows; ++r) {
          for (int64_t i = 0; i < c.shape.qkv_width(); ++i) rows.set(r, i, qkv.at(r, i));
        }
        params.qkv = qkv.view();
        params.kv = kv.view();
        EmulatedNormRope together;
        together.NormRopeWrite(params, kv.batch());
        EXPECT_TRUE(together.status().ok()) << together.status();
        params.kv = one_by_one.view();
        for (int32_t r = kRows - 1; r >= 0; --r) {
          PagedKv::SliceStorage storage;
          params.qkv = rows.view().Rows(r, 1);
          EmulatedNormRope alone(/*seed=*/static_cast<uint32_t>(r + 1));
          alone.NormRopeWrite(params, one_by_one.Slice(0, r, r + 1, storage));
          EXPECT_TRUE(alone.status().ok()) << alone.status();
          EXPECT_TRUE(rows.SameRowBits(r, qkv, r)) << r;
        }
        EXPECT_EQ(one_by_one.bytes(), kv.bytes());
      }
    }
  }
}

TEST_F(CudaNormRopeWriteTest, NoRowsAreNoWork) {
  const RopeCase c;
  const RopeTables rope(kRopeRows, c.rotary_dim);
  const RopeNormWeights weights(c.shape);
  const HostMatrix qkv(c.act, 0, c.shape.qkv_width());
  for (QkNorm norm : {QkNorm::kPerHead, QkNorm::kFullWidth}) {
    NormRopeWriteParams params = NormRopeParamsOf(c, weights, rope);
    params.qk_norm = norm;
    params.qkv = qkv.view();
    EmulatedNormRope backend;
    backend.NormRope(params, {});
    EXPECT_TRUE(backend.status().ok()) << backend.status();
  }
}

TEST_F(CudaNormRopeWriteTest, RowsOutsideTheTablesOrTheCacheAreABug) {
  const GqaShape shape{2, 1, 16, 16, 0};
  const RopeTables rope(20, 16);
  PagedKv kv(shape, 16, DType::kBFloat16, {{3, 20}});
  HostMatrix qkv(DType::kBFloat16, 3, shape.qkv_width());
  qkv.FillNormal(1);
  const auto write = [&](const std::vector<int32_t>& rope_rows, const std::vector<int64_t>& slots) {
    AttentionBatch batch = kv.batch();
    batch.rope_rows = {rope_rows.data(), 3};
    batch.slots = {slots.data(), 3};
    EmulatedNormRope backend;
    backend.NormRopeWrite({.qkv = qkv.view(), .shape = shape, .rope = rope.view(), .kv = kv.view()},
                          batch);
    return backend.status().ok();
  };
  const int64_t end = kv.view().num_blocks * 16;
  EXPECT_TRUE(write({0, 1, 19}, {0, 1, end - 1}));
  EXPECT_FALSE(write({0, 1, 20}, {0, 1, 2}));
  EXPECT_FALSE(write({0, -1, 2}, {0, 1, 2}));
  EXPECT_FALSE(write({0, 1, 2}, {0, 1, end}));
  EXPECT_FALSE(write({0, 1, 2}, {-5, 1, 2}));
}

}  // namespace
}  // namespace quire
