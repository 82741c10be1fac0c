// Norms of the CPU backend against the reference.
#include <cmath>
#include <cstdint>
#include <memory>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/reference/reference_ops.h"
#include "tests/ops/norm_harness.h"
#include "tests/testing/isas.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;
using ::quire::testing::kNormKinds;
using ::quire::testing::NearNorm;
using ::quire::testing::RandomNorm;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};
constexpr int64_t kWidths[] = {1, 7, 16, 33, 64, 100, 1024};

class CpuNormTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  ThreadPool pool_{3};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> ops_ = MakeCpuOps(pool_, memory_, GetParam(), {});
  std::unique_ptr<Ops> reference_ = MakeReferenceOps(memory_);
};

TEST_P(CpuNormTest, NormsMatchTheReference) {
  for (NormKind kind : kNormKinds) {
    for (DType in_dtype : kActs) {
      for (DType out_dtype : kActs) {
        for (int64_t width : kWidths) {
          for (int parts = 0; parts < 4; ++parts) {
            const Norm norm = RandomNorm(*ops_, kind, width, (parts & 1) != 0, (parts & 2) != 0);
            HostMatrix x(in_dtype, 20, width, width + 3);
            x.FillNormal(1, 10.0F);
            HostMatrix out(out_dtype, 20, width, width + 1);
            HostMatrix want(out_dtype, 20, width, width + 1);
            ops_->Normalise(x.view(), norm, out.view());
            reference_->Normalise(x.view(), norm, want.view());
            EXPECT_TRUE(NearNorm(out, want, parts > 1 || kind == NormKind::kLayer ? 3.0 : 0.0))
                << static_cast<int>(kind) << " width " << width << " parts " << parts;
          }
        }
      }
    }
  }
}

TEST_P(CpuNormTest, ALayerNormOfALargeMeanKeepsItsDigits) {
  HostMatrix x(DType::kFloat32, 10, 1000);
  x.FillNormal(1);
  for (int64_t r = 0; r < 10; ++r) {
    for (int64_t i = 0; i < 1000; ++i) x.set(r, i, x.at(r, i) + 4096.0F);
  }
  const Norm norm = RandomNorm(*ops_, NormKind::kLayer, 1000, true, true);
  HostMatrix out(DType::kFloat32, 10, 1000);
  HostMatrix want(DType::kFloat32, 10, 1000);
  ops_->Normalise(x.view(), norm, out.view());
  reference_->Normalise(x.view(), norm, want.view());
  // Of the mean: a few roundings at its size.
  EXPECT_TRUE(testing::Near(out, want, [](int64_t, int64_t) { return 8 * 4096 * 0x1p-24; }));
}

TEST_P(CpuNormTest, ANormMayWriteItsOwnInput) {
  for (NormKind kind : kNormKinds) {
    for (DType act : kActs) {
      const Norm norm = RandomNorm(*ops_, kind, 100, true, true);
      HostMatrix x(act, 30, 100, 120);
      x.FillNormal(1);
      HostMatrix out(act, 30, 100, 120);
      ops_->Normalise(x.view(), norm, out.view());
      ops_->Normalise(x.view(), norm, x.view());
      EXPECT_TRUE(x.SameBits(out));
    }
  }
}

TEST_P(CpuNormTest, AddNormaliseAddsExactlyAndMatchesTheReference) {
  for (NormKind kind : kNormKinds) {
    for (DType act : kActs) {
      for (int64_t width : kWidths) {
        const Norm norm = RandomNorm(*ops_, kind, width, true, kind == NormKind::kLayer);
        HostMatrix residual(DType::kFloat32, 40, width);
        residual.FillNormal(1);
        HostMatrix want_residual(residual);
        HostMatrix delta(act, 40, width, width + 5);
        delta.FillNormal(2);
        HostMatrix out(act, 40, width);
        HostMatrix want(act, 40, width);
        ops_->AddNormalise(
            {.residual = residual.view(), .delta = delta.view(), .norm = norm, .out = out.view()});
        reference_->AddNormalise({.residual = want_residual.view(),
                                  .delta = delta.view(),
                                  .norm = norm,
                                  .out = want.view()});
        EXPECT_TRUE(residual.SameBits(want_residual));
        EXPECT_TRUE(NearNorm(out, want, kind == NormKind::kLayer ? 3.0 : 0.0)) << width;
      }
    }
  }
}

TEST_P(CpuNormTest, TheDeltaIsScaled) {
  HostMatrix residual(DType::kFloat32, 5, 70);
  residual.FillNormal(1);
  HostMatrix want(residual);
  HostMatrix delta(DType::kBFloat16, 5, 70);
  delta.FillNormal(2);
  HostMatrix out(DType::kFloat32, 5, 70);
  ops_->AddNormalise({residual.view(), delta.view(), 0.22F, {}, out.view()});
  for (int64_t r = 0; r < 5; ++r) {
    for (int64_t i = 0; i < 70; ++i) {
      const double sum = want.at(r, i) + 0.22F * double{delta.at(r, i)};
      EXPECT_NEAR(residual.at(r, i), sum, 2 * 0x1p-24 * (1 + std::fabs(sum)));
      EXPECT_EQ(out.at(r, i), residual.at(r, i));
    }
  }
}

// What post-norm encoders do: the stream itself is normalised.
TEST_P(CpuNormTest, IntoResidualLeavesTheNormInTheResidual) {
  for (NormKind kind : kNormKinds) {
    const Norm norm = RandomNorm(*ops_, kind, 70, true, true);
    HostMatrix residual(DType::kFloat32, 9, 70, 77);
    residual.FillNormal(1);
    HostMatrix before(residual);
    HostMatrix delta(DType::kFloat32, 9, 70);
    delta.FillNormal(2);
    HostMatrix out(DType::kFloat32, 9, 70, 77);
    HostMatrix out_before(DType::kFloat32, 9, 70, 77);
    ops_->AddNormalise({before.view(), delta.view(), 1.0F, norm, out_before.view()});
    ops_->AddNormalise({residual.view(), delta.view(), 1.0F, norm, out.view(), true});
    EXPECT_TRUE(out.SameBits(out_before));
    EXPECT_TRUE(residual.SameBits(out));
  }
}

TEST_P(CpuNormTest, AZeroRowNormalisesToTheBias) {
  for (NormKind kind : kNormKinds) {
    const Norm norm = RandomNorm(*ops_, kind, 20, true, true);
    HostMatrix x(DType::kFloat32, 1, 20);
    for (int64_t i = 0; i < 20; ++i) x.set(0, i, 0.0F);
    HostMatrix out(DType::kFloat32, 1, 20);
    ops_->Normalise(x.view(), norm, out.view());
    for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(out.at(0, i), norm.bias.data()[i]);
  }
}

TEST_P(CpuNormTest, ARowHasTheSameBitsAlone) {
  for (NormKind kind : kNormKinds) {
    const Norm norm = RandomNorm(*ops_, kind, 100, true, true);
    HostMatrix x(DType::kFloat32, 400, 100);
    x.FillNormal(1);
    HostMatrix all(DType::kBFloat16, 400, 100);
    ops_->Normalise(x.view(), norm, all.view());
    for (int64_t r = 0; r < 400; r += 13) {
      HostMatrix one(DType::kBFloat16, 1, 100);
      ops_->Normalise(x.view().Rows(r, 1), norm, one.view());
      EXPECT_TRUE(one.SameRowBits(0, all, r));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuNormTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
