// The CUDA kernel of norm, rotation and write of latent rows, emulated, against the reference.
#include <cstdint>
#include <vector>

#include "attention/cuda/make_rope_args.h"
#include "attention/cuda/mla_norm_rope_write.cuh"
#include "core/cuda/emulation/launcher.h"
#include "gtest/gtest.h"
#include "tests/attention/emulated_kv.h"
#include "tests/attention/mla_norm_rope_harness.h"
#include "tests/testing/matrix.h"
#include "tests/testing/paged_kv.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::testing::EmulatedArguments;
using ::quire::testing::EmulatedMatrix;
using ::quire::testing::ExpectLatentsMatchReference;
using ::quire::testing::HostMatrix;
using ::quire::testing::kLatentTypes;
using ::quire::testing::kMlaNormRopeShapes;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeTables;

// Mla's call on the emulation. What the kernel may touch is the arguments alone.
class EmulatedMlaNormRope {
 public:
  explicit EmulatedMlaNormRope(uint32_t seed = 0) : seed_(seed) {}

  void NormRopeWrite(const MlaNormRopeWriteParams& params, const AttentionBatch& batch) {
    EmulatedArguments memory;
    memory.Add("latent", params.latent, EmulatedMatrix::kInput);
    memory.Add("q", params.q, EmulatedMatrix::kInput);
    memory.Add("latent_norm", params.latent_norm, params.shape.latent_dim);
    memory.Add(params.rope);
    memory.Add("rope_rows", batch.rope_rows);
    memory.Add("slots", batch.slots);
    memory.Add(params.kv, EmulatedArguments::State::kUnwritten);
    EmulatedLauncher launcher({.seed = seed_, .resident_blocks = seed_ == 0 ? 1 : 3});
    cuda_emulated::LaunchMlaNormRope(launcher, MakeMlaNormRopeArgs(params, batch));
    EXPECT_TRUE(launcher.status().ok()) << launcher.status();
  }

 private:
  uint32_t seed_;
};

TEST(CudaMlaNormRopeWrite, MatchesTheReference) {
  for (const MlaShape& shape : kMlaNormRopeShapes) {
    for (DType dtype : kLatentTypes) {
      for (bool interleaved : {true, false}) {
        for (bool norm : {true, false}) {
          EmulatedMlaNormRope backend(/*seed=*/norm ? 1 : 0);
          ExpectLatentsMatchReference(backend, {shape, dtype, dtype, dtype, interleaved, norm});
        }
      }
    }
  }
}

TEST(CudaMlaNormRopeWrite, TypesOfRowsAndCacheMayDiffer) {
  for (DType act : kLatentTypes) {
    for (DType latent : kLatentTypes) {
      for (DType cache : kLatentTypes) {
        EmulatedMlaNormRope backend;
        ExpectLatentsMatchReference(backend, {kMlaNormRopeShapes[0], act, latent, cache});
      }
    }
  }
}

// Rotated parts that a warp does not hold one of, and a latent that a warp does not hold at once.
TEST(CudaMlaNormRopeWrite, WideRowsMatchTheReference) {
  for (bool rope_per_head : {false, true}) {
    EmulatedMlaNormRope backend;
    ExpectLatentsMatchReference(backend, {{2, 1100, 6, 64, 2, rope_per_head},
                                          DType::kBFloat16,
                                          DType::kFloat32,
                                          DType::kBFloat16,
                                          true,
                                          true,
                                          {{2, 2}}});
  }
}

// Law of attention.h: alone or among others, in rows of another alignment, with the threads in
// another order.
TEST(CudaMlaNormRopeWrite, OneByOneIsAllAtOnceToTheBit) {
  constexpr int kRows = 10;
  for (DType dtype : kLatentTypes) {
    for (const MlaShape& shape : {kMlaNormRopeShapes[2], kMlaNormRopeShapes[4]}) {
      const GqaShape cache_shape{shape.num_heads, 1, shape.cache_dim(), 0, 0};
      const RopeTables rope(64, shape.rope_dim);
      PagedKv all(cache_shape, 16, dtype, {{kRows, 38}});
      PagedKv one_by_one(cache_shape, 16, dtype, {{kRows, 38}});
      HostMatrix latent(dtype, kRows, shape.cache_dim());
      HostMatrix q(dtype, kRows, shape.q_width());
      latent.FillNormal(1);
      q.FillNormal(2);
      HostMatrix latents(dtype, kRows, shape.cache_dim(), shape.cache_dim() + 1);
      HostMatrix rows(dtype, kRows, shape.q_width(), shape.q_width() + 3);
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t i = 0; i < shape.cache_dim(); ++i) latents.set(r, i, latent.at(r, i));
        for (int64_t i = 0; i < shape.q_width(); ++i) rows.set(r, i, q.at(r, i));
      }
      const std::vector<float> norm(shape.latent_dim, 1.5F);
      EmulatedMlaNormRope().NormRopeWrite(
          {latent.view(), q.view(), shape, norm.data(), 1e-6F, rope.view(), all.view()},
          all.batch());
      for (int32_t r = kRows - 1; r >= 0; --r) {
        PagedKv::SliceStorage storage;
        EmulatedMlaNormRope(/*seed=*/static_cast<uint32_t>(r + 1))
            .NormRopeWrite({latents.view().Rows(r, 1), rows.view().Rows(r, 1), shape, norm.data(),
                            1e-6F, rope.view(), one_by_one.view()},
                           one_by_one.Slice(0, r, r + 1, storage));
        EXPECT_TRUE(rows.SameRowBits(r, q, r)) << r;
      }
      EXPECT_EQ(one_by_one.bytes(), all.bytes());
    }
  }
}

}  // namespace
}  // namespace quire
