// Norms, activations, embeddings and gathers of the CPU backend against the reference.
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/elements.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/reference/reference_ops.h"
#include "tests/testing/isas.h"
#include "tests/testing/linears.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;
using ::quire::testing::LinearSource;
using ::quire::testing::RoundingError;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};
constexpr int64_t kWidths[] = {1, 7, 16, 33, 64, 100, 1024};

class CpuRowOpsTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  DeviceVector RandomWeight(int64_t width) {
    std::mt19937 random(3);
    std::normal_distribution<float> normal(1.0F, 0.2F);
    std::vector<float> values(width);
    for (float& value : values) value = normal(random);
    return ops_->MakeVector(values).value();
  }

  ThreadPool pool_{3};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> ops_ = MakeCpuOps(pool_, memory_, GetParam(), {});
  std::unique_ptr<Ops> reference_ = MakeReferenceOps(memory_);
};

// The sum of squares is off by a few roundings at most (its terms are positive), the scale by half
// of that and a rounding or two, the products by two more.
constexpr double kNormError = 16 * 0x1p-24;

TEST_P(CpuRowOpsTest, RmsNormMatchesTheReference) {
  for (DType out_dtype : kActs) {
    for (int64_t width : kWidths) {
      const DeviceVector weight = RandomWeight(width);
      HostMatrix x(DType::kFloat32, 50, width, width + 3);
      x.FillNormal(1, 10.0F);
      HostMatrix out(out_dtype, 50, width, width + 1);
      HostMatrix want(out_dtype, 50, width, width + 1);
      ops_->RmsNorm(x.view(), weight, 1e-6F, out.view());
      reference_->RmsNorm(x.view(), weight, 1e-6F, want.view());
      EXPECT_TRUE(testing::Near(out, want, [&](int64_t r, int64_t c) {
        const double size = std::fabs(want.at(r, c));
        return kNormError * size + 2 * RoundingError(out_dtype, size);
      })) << width;
    }
  }
}

TEST_P(CpuRowOpsTest, AddRmsNormAddsExactlyAndMatchesTheReference) {
  for (DType act : kActs) {
    for (int64_t width : kWidths) {
      const DeviceVector weight = RandomWeight(width);
      HostMatrix residual(DType::kFloat32, 40, width);
      residual.FillNormal(1);
      HostMatrix want_residual(residual);
      HostMatrix delta(act, 40, width, width + 5);
      delta.FillNormal(2);
      HostMatrix out(act, 40, width);
      HostMatrix want(act, 40, width);
      ops_->AddRmsNorm(residual.view(), delta.view(), weight, 1e-5F, out.view());
      reference_->AddRmsNorm(want_residual.view(), delta.view(), weight, 1e-5F, want.view());
      EXPECT_TRUE(residual.SameBits(want_residual));
      EXPECT_TRUE(testing::Near(out, want, [&](int64_t r, int64_t c) {
        const double size = std::fabs(want.at(r, c));
        return kNormError * size + 2 * RoundingError(act, size);
      })) << width;
    }
  }
}

TEST_P(CpuRowOpsTest, AZeroRowNormalisesToZero) {
  const DeviceVector weight = RandomWeight(20);
  HostMatrix x(DType::kFloat32, 1, 20);
  for (int64_t i = 0; i < 20; ++i) x.set(0, i, 0.0F);
  HostMatrix out(DType::kFloat32, 1, 20);
  ops_->RmsNorm(x.view(), weight, 1e-6F, out.view());
  for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(out.at(0, i), 0.0F);
}

TEST_P(CpuRowOpsTest, SiluMulMatchesTheReference) {
  for (DType act : kActs) {
    for (int64_t width : kWidths) {
      HostMatrix gate_up(act, 30, 2 * width, 2 * width + 7);
      gate_up.FillNormal(1, 8.0F);
      HostMatrix out(act, 30, width);
      HostMatrix want(act, 30, width);
      ops_->SiluMul(gate_up.view(), out.view());
      reference_->SiluMul(gate_up.view(), want.view());
      EXPECT_TRUE(testing::Near(out, want, [&](int64_t r, int64_t c) {
        const double size = std::fabs(want.at(r, c));
        return 8 * 0x1p-24 * size + 2 * RoundingError(act, size);
      })) << width;
    }
  }
}

TEST_P(CpuRowOpsTest, SiluMulIsRightAtTheEnds) {
  const float gates[] = {0.0F,   -0.0F,   1e-30F, -1e-30F, 88.0F,   -88.0F,
                         200.0F, -200.0F, 3e38F,  -3e38F,  INFINITY};
  constexpr int64_t kCount = 11;
  HostMatrix gate_up(DType::kFloat32, 1, 2 * kCount);
  for (int64_t i = 0; i < kCount; ++i) {
    gate_up.set(0, i, gates[i]);
    gate_up.set(0, kCount + i, 1.0F);
  }
  HostMatrix out(DType::kFloat32, 1, kCount);
  ops_->SiluMul(gate_up.view(), out.view());
  for (int64_t i = 0; i < kCount; ++i) {
    const double gate = gates[i];
    if (gate < -80) {
      EXPECT_LE(std::fabs(out.at(0, i)), gate > -100 ? 1e-35F : 6e0F) << gate;
    } else {
      EXPECT_FLOAT_EQ(out.at(0, i), static_cast<float>(gate / (1 + std::exp(-gate)))) << gate;
    }
  }
}

TEST_P(CpuRowOpsTest, EmbedReadsItsOwnTable) {
  for (DType act : kActs) {
    for (DType stored : {DType::kBFloat16, DType::kFloat32, DType::kFloat16}) {
      for (int64_t width : kWidths) {
        const LinearSource source(width, act, {{50, stored, false}});
        const auto table = ops_->MakeEmbedding(source.spec().parts[0], width, act).value();
        EXPECT_EQ(table->bytes(), 50 * width * DTypeBytes(act));
        const std::vector<int32_t> ids = {49, 0, 7, 7};
        HostMatrix out(DType::kFloat32, 4, width, width + 2);
        ops_->Embed(*table, {ids.data(), 4}, out.view());
        for (int64_t t = 0; t < 4; ++t) {
          for (int64_t i = 0; i < width; ++i) {
            ASSERT_EQ(out.at(t, i), RoundTo(act, source.weight(ids[t], i)));
          }
        }
      }
    }
  }
}

TEST_P(CpuRowOpsTest, GatherRowsCopiesRows) {
  for (const DType act : {DType::kFloat32, DType::kBFloat16}) {
    HostMatrix x(act, 9, 40, 44);
    x.FillNormal(1);
    const std::vector<int32_t> rows = {8, 0, 3, 3, 8};
    HostMatrix out(act, 5, 40, 41);
    ops_->GatherRows(x.view(), {rows.data(), 5}, out.view());
    for (int64_t r = 0; r < 5; ++r) EXPECT_TRUE(out.SameRowBits(r, x, rows[r]));
  }
}

TEST_P(CpuRowOpsTest, ARowHasTheSameBitsAlone) {
  const DeviceVector weight = RandomWeight(100);
  HostMatrix x(DType::kFloat32, 200, 100);
  x.FillNormal(1);
  HostMatrix all(DType::kBFloat16, 200, 100);
  ops_->RmsNorm(x.view(), weight, 1e-6F, all.view());
  HostMatrix gate_up(DType::kBFloat16, 200, 200);
  gate_up.FillNormal(2);
  HostMatrix all_silu(DType::kBFloat16, 200, 100);
  ops_->SiluMul(gate_up.view(), all_silu.view());
  for (int64_t r = 0; r < 200; r += 13) {
    HostMatrix one(DType::kBFloat16, 1, 100);
    ops_->RmsNorm(x.view().Rows(r, 1), weight, 1e-6F, one.view());
    EXPECT_TRUE(one.SameRowBits(0, all, r));
    ops_->SiluMul(gate_up.view().Rows(r, 1), one.view());
    EXPECT_TRUE(one.SameRowBits(0, all_silu, r));
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuRowOpsTest, testing::AllIsas(), testing::IsaName);

}  // namespace
}  // namespace quire
