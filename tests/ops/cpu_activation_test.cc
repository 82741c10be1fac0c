// Activations, gates and the cap of logits of the CPU backend against the reference.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/reference/reference_ops.h"
#include "tests/testing/isas.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;
using ::quire::testing::RoundingError;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};
constexpr int64_t kWidths[] = {1, 7, 16, 33, 64, 100, 1024};
constexpr Activation kPlain[] = {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluExact,
                                 Activation::kRelu};

class CpuActivationTest : public ::testing::TestWithParam<CpuIsa> {
 protected:
  // Relative errors of the functions: a few roundings, and those of the exponential's argument. An
  // instruction set without fused multiply-adds has twice as many.
  static double Units(double x) { return 8 + 3 * std::min(x * x, 100.0); }

  ThreadPool pool_{3};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> ops_ = MakeCpuOps(pool_, memory_, GetParam(), {});
  std::unique_ptr<Ops> reference_ = MakeReferenceOps(memory_);
};

TEST_P(CpuActivationTest, ActivationsAreAccurateEverywhere) {
  constexpr int64_t kCount = 40001;
  for (Activation kind : kPlain) {
    HostMatrix x(DType::kFloat32, 1, kCount);
    for (int64_t i = 0; i < kCount; ++i) {
      // Steps of 0.001 on [-16, 16], and below powers of 2 down to 2^-60 on both sides.
      const int64_t small = i - 32001;
      x.set(0, i,
            small < 0 ? static_cast<float>(i - 16000) * 0.001F
                      : std::ldexp(small % 2 == 0 ? 0.9F : -0.9F, -static_cast<int>(small % 61)));
    }
    HostMatrix out(DType::kFloat32, 1, kCount);
    HostMatrix want(DType::kFloat32, 1, kCount);
    ops_->Activate({kind}, x.view(), out.view());
    reference_->Activate({kind}, x.view(), want.view());
    EXPECT_TRUE(testing::Near(out, want, [&](int64_t r, int64_t c) {
      return Units(x.at(r, c)) * 0x1p-24 * std::fabs(want.at(r, c)) + 1e-35;
    })) << static_cast<int>(kind);
  }
}

TEST_P(CpuActivationTest, ActivationsMatchTheReferenceAtAnyShape) {
  for (Activation kind : kPlain) {
    for (DType act : kActs) {
      for (int64_t width : kWidths) {
        HostMatrix x(act, 30, width, width + 3);
        x.FillNormal(1, 3.0F);
        HostMatrix out(act, 30, width, width + 1);
        HostMatrix want(act, 30, width, width + 1);
        ops_->Activate({kind}, x.view(), out.view());
        reference_->Activate({kind}, x.view(), want.view());
        EXPECT_TRUE(testing::Near(out, want,
                                  [&](int64_t r, int64_t c) {
                                    const double size = std::fabs(want.at(r, c));
                                    return Units(x.at(r, c)) * 0x1p-24 * size +
                                           2 * RoundingError(act, size) + 1e-35;
                                  }))
            << static_cast<int>(kind) << " width " << width;
        ops_->Activate({kind}, x.view(), x.view());
        for (int64_t r = 0; r < 30; ++r) EXPECT_TRUE(x.SameRowBits(r, out, r));
      }
    }
  }
}

TEST_P(CpuActivationTest, GatedActivationsMatchTheReference) {
  for (int kind = 0; kind <= static_cast<int>(Activation::kClampedSwiglu); ++kind) {
    const ActivationParams activation{static_cast<Activation>(kind)};
    for (DType act : kActs) {
      for (int64_t width : kWidths) {
        HostMatrix gate_up(act, 30, 2 * width, 2 * width + 7);
        gate_up.FillNormal(1, 8.0F);
        HostMatrix out(act, 30, width);
        HostMatrix want(act, 30, width);
        ops_->GatedActivation(activation, gate_up.view(), out.view());
        reference_->GatedActivation(activation, gate_up.view(), want.view());
        EXPECT_TRUE(testing::Near(out, want,
                                  [&](int64_t r, int64_t c) {
                                    const double size = std::fabs(want.at(r, c));
                                    return Units(gate_up.at(r, c)) * 0x1p-24 * size +
                                           2 * RoundingError(act, size) + 1e-34;
                                  }))
            << kind << " width " << width;
      }
    }
  }
}

TEST_P(CpuActivationTest, SiluIsRightAtTheEnds) {
  const float gates[] = {0.0F,   -0.0F,   1e-30F, -1e-30F, 88.0F,   -88.0F,
                         200.0F, -200.0F, 3e38F,  -3e38F,  INFINITY};
  constexpr int64_t kCount = 11;
  HostMatrix x(DType::kFloat32, 1, kCount);
  for (int64_t i = 0; i < kCount; ++i) x.set(0, i, gates[i]);
  HostMatrix out(DType::kFloat32, 1, kCount);
  ops_->Activate({}, x.view(), out.view());
  for (int64_t i = 0; i < kCount; ++i) {
    const double gate = gates[i];
    if (gate < -80) {
      EXPECT_LE(std::fabs(out.at(0, i)), gate > -100 ? 1e-35F : 6e0F) << gate;
    } else {
      EXPECT_FLOAT_EQ(out.at(0, i), static_cast<float>(gate / (1 + std::exp(-gate)))) << gate;
    }
  }
}

TEST_P(CpuActivationTest, GelusAndReluAreRightAtTheEnds) {
  const float ends[] = {0.0F, -0.0F, 1e-38F, 1e30F, 3e38F, -50.0F, -1e10F, -3e38F};
  for (Activation kind : {Activation::kGeluTanh, Activation::kGeluExact, Activation::kRelu}) {
    HostMatrix x(DType::kFloat32, 1, 8);
    for (int64_t i = 0; i < 8; ++i) x.set(0, i, ends[i]);
    HostMatrix out(DType::kFloat32, 1, 8);
    ops_->Activate({kind}, x.view(), out.view());
    for (int64_t i = 0; i < 8; ++i) {
      const float share = kind != Activation::kRelu && ends[i] == 1e-38F ? 0.5F : 1.0F;
      EXPECT_FLOAT_EQ(out.at(0, i), std::max(0.0F, share * ends[i])) << ends[i];
    }
  }
}

TEST_P(CpuActivationTest, NanStaysNan) {
  for (int kind = 0; kind <= static_cast<int>(Activation::kClampedSwiglu); ++kind) {
    HostMatrix gate_up(DType::kFloat32, 1, 40);
    gate_up.FillNormal(1);
    gate_up.set(0, 3, NAN);
    HostMatrix out(DType::kFloat32, 1, 20);
    ops_->GatedActivation({static_cast<Activation>(kind)}, gate_up.view(), out.view());
    for (int64_t i = 0; i < 20; ++i) EXPECT_EQ(std::isnan(out.at(0, i)), i == 3) << kind;
  }
}

TEST_P(CpuActivationTest, SoftcapMatchesTheReference) {
  for (float cap : {0.0F, 30.0F, 50.0F}) {
    for (float size : {1e-4F, 1.0F, 30.0F, 1000.0F}) {
      for (int64_t width : {1, 33, 5000}) {
        HostMatrix x(DType::kFloat32, 7, width, width + 2);
        x.FillNormal(1, size);
        HostMatrix want(x);
        ops_->SoftcapLogits(x.view(), 0.5F, cap);
        reference_->SoftcapLogits(want.view(), 0.5F, cap);
        EXPECT_TRUE(testing::Near(
            x, want, [&](int64_t r, int64_t c) { return 8 * 0x1p-24 * std::fabs(want.at(r, c)); }))
            << cap << " " << size << " " << width;
      }
    }
  }
}

TEST_P(CpuActivationTest, SumsMatchTheReference) {
  for (DType act : kActs) {
    for (int64_t width : kWidths) {
      HostMatrix x(act, 40, width, width + 3);
      x.FillNormal(1);
      HostMatrix gate(act, 40, 1, 5);
      gate.FillNormal(2, 4.0F);
      HostMatrix out(DType::kFloat32, 40, width, width + 1);
      out.FillNormal(3);
      HostMatrix want(out);
      const auto near = [&](int64_t r, int64_t c) {
        return 8 * 0x1p-24 * (std::fabs(x.at(r, c)) + std::fabs(want.at(r, c)));
      };
      ops_->AddTo(x.view(), 0.3F, out.view());
      reference_->AddTo(x.view(), 0.3F, want.view());
      EXPECT_TRUE(testing::Near(out, want, near)) << width;
      ops_->AddSigmoidGated(x.view(), gate.view(), out.view());
      reference_->AddSigmoidGated(x.view(), gate.view(), want.view());
      EXPECT_TRUE(testing::Near(out, want, near)) << width;
    }
  }
}

TEST_P(CpuActivationTest, ARowHasTheSameBitsAlone) {
  HostMatrix gate_up(DType::kBFloat16, 400, 200);
  gate_up.FillNormal(2);
  HostMatrix gate(DType::kFloat32, 400, 1);
  gate.FillNormal(3);
  HostMatrix all(DType::kBFloat16, 400, 100);
  HostMatrix all_sums(DType::kFloat32, 400, 100);
  all_sums.FillNormal(4);
  HostMatrix sums(all_sums);
  ops_->GatedActivation({}, gate_up.view(), all.view());
  ops_->AddSigmoidGated(all.view(), gate.view(), all_sums.view());
  for (int64_t r = 0; r < 400; r += 13) {
    HostMatrix one(DType::kBFloat16, 1, 100);
    ops_->GatedActivation({}, gate_up.view().Rows(r, 1), one.view());
    EXPECT_TRUE(one.SameRowBits(0, all, r));
    ops_->AddSigmoidGated(one.view(), gate.view().Rows(r, 1), sums.view().Rows(r, 1));
    EXPECT_TRUE(sums.SameRowBits(r, all_sums, r));
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, CpuActivationTest, testing::AllIsas(), testing::IsaName);

// The same steps in lanes of other widths.
TEST(CpuActivationAcrossIsas, FmaIsasGiveTheSameBits) {
  ThreadPool pool(1);
  HostMemory memory(pool);
  HostMatrix x(DType::kFloat32, 3, 2002);
  x.FillNormal(1, 4.0F);
  for (int kind = 0; kind <= static_cast<int>(Activation::kClampedSwiglu); ++kind) {
    std::vector<HostMatrix> results;
    for (CpuIsa isa : AvailableCpuIsas()) {
      if (isa == CpuIsa::kPortable) continue;
      const auto ops = MakeCpuOps(pool, memory, isa, {});
      results.emplace_back(DType::kFloat32, 3, 1001);
      ops->GatedActivation({static_cast<Activation>(kind)}, x.view(), results.back().view());
      ops->SoftcapLogits(results.back().view(), 1.0F, 5.0F);
      EXPECT_TRUE(results.back().SameBits(results.front())) << kind;
    }
  }
}

}  // namespace
}  // namespace quire
