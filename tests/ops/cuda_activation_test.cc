// The CUDA activations, gates and the cap of logits, emulated, against the reference and the CPU.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>

#include "core/cpu/cpu_isa.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/cuda/emulation/launcher.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cuda/row_ops.cuh"
#include "ops/reference/reference_ops.h"
#include "tests/testing/emulated_matrix.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::testing::EmulatedMatrix;
using ::quire::testing::HostMatrix;
using ::quire::testing::Near;
using ::quire::testing::RoundingError;
using ::quire::testing::RowStrides;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};
constexpr Activation kPlain[] = {Activation::kSilu, Activation::kGeluTanh, Activation::kGeluExact,
                                 Activation::kRelu};
// Of rows: within a chunk, around one, around a warp's chunks, beyond a block's.
constexpr int64_t kWidths[] = {1, 7, 8, 9, 33, 256, 257, 1040};

EmulatedLauncher MakeLauncher(uint32_t seed = 0) {
  return EmulatedLauncher({.seed = seed, .resident_blocks = seed == 0 ? 1 : 3});
}

void Activate(ActivationParams activation, bool gated, const HostMatrix& x, const HostMatrix& out,
              uint32_t seed = 0) {
  const EmulatedMatrix x_memory("x", x.view(), EmulatedMatrix::kInput);
  std::unique_ptr<EmulatedMatrix> out_memory;
  if (&out != &x) {
    out_memory = std::make_unique<EmulatedMatrix>("out", out.view(), EmulatedMatrix::kOutput);
  }
  EmulatedLauncher launcher = MakeLauncher(seed);
  cuda_emulated::LaunchActivateRows(
      launcher, {.activation = activation, .gated = gated, .x = x.view(), .out = out.view()});
  ASSERT_TRUE(launcher.status().ok()) << launcher.status();
  EXPECT_TRUE(out_memory == nullptr || out_memory->IsWritten());
}

void Add(const HostMatrix& x, float scale, const HostMatrix* gate, const HostMatrix& out,
         uint32_t seed = 0) {
  const EmulatedMatrix x_memory("x", x.view(), EmulatedMatrix::kInput);
  const EmulatedMatrix out_memory("out", out.view(), EmulatedMatrix::kInput);
  std::unique_ptr<EmulatedMatrix> gate_memory;
  AddRowsArgs args{.x = x.view(), .scale = scale, .gate = {}, .out = out.view()};
  if (gate != nullptr) {
    gate_memory = std::make_unique<EmulatedMatrix>("gate", gate->view(), EmulatedMatrix::kInput);
    args.gate = gate->view();
  }
  EmulatedLauncher launcher = MakeLauncher(seed);
  cuda_emulated::LaunchAddRows(launcher, args);
  ASSERT_TRUE(launcher.status().ok()) << launcher.status();
}

void Softcap(const HostMatrix& logits, float scale, float cap, uint32_t seed = 0) {
  const EmulatedMatrix memory("logits", logits.view(), EmulatedMatrix::kInput);
  EmulatedLauncher launcher = MakeLauncher(seed);
  cuda_emulated::LaunchSoftcap(launcher, {.logits = logits.view(), .scale = scale, .cap = cap});
  ASSERT_TRUE(launcher.status().ok()) << launcher.status();
}

class CudaActivationTest : public ::testing::Test {
 protected:
  // Relative errors of the functions in units of 2^-24: a few roundings, and those of the
  // exponential's argument, which x^2 is the largest of.
  static double Units(double x) { return 8 + 3 * std::min(x * x, 100.0); }
  // ... of a result of this size, rounded to its type; what is below fp32's normal numbers is 0.
  static double Allowed(DType dtype, double x, double size) {
    return Units(x) * 0x1p-24 * size + 2 * RoundingError(dtype, size) + 1e-34;
  }

  ThreadPool pool_{1};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> reference_ = MakeReferenceOps(memory_);
};

TEST_F(CudaActivationTest, ActivationsAreAccurateEverywhere) {
  constexpr int64_t kCount = 9001;
  for (Activation kind : kPlain) {
    for (DType dtype : kActs) {
      HostMatrix x(dtype, 1, kCount);
      for (int64_t i = 0; i < kCount; ++i) {
        // Steps of 0.004 on [-16, 16], and below powers of 2 down to 2^-60 on both sides.
        const int64_t small = i - 8001;
        x.set(0, i,
              small < 0 ? static_cast<float>(i - 4000) * 0.004F
                        : std::ldexp(small % 2 == 0 ? 0.9F : -0.9F, -static_cast<int>(small % 61)));
      }
      HostMatrix out(dtype, 1, kCount), want(dtype, 1, kCount);
      Activate({kind}, false, x, out);
      reference_->Activate({kind}, x.view(), want.view());
      EXPECT_TRUE(Near(out, want, [&](int64_t r, int64_t c) {
        return Allowed(dtype, x.at(r, c), std::fabs(want.at(r, c)));
      })) << static_cast<int>(kind);
    }
  }
}

// fp32's arithmetic is that of the CPU's instruction sets that fuse multiply-adds.
TEST_F(CudaActivationTest, Fp32ResultsAreTheCpusToTheBit) {
  const CpuIsa isa = AvailableCpuIsas().back();
  if (isa == CpuIsa::kPortable) GTEST_SKIP() << "this CPU does not fuse multiply-adds";
  const auto cpu = MakeCpuOps(pool_, memory_, isa, {});
  constexpr int64_t kCount = 4000;
  for (float size : {1e-3F, 1.0F, 10.0F, 100.0F, 1e30F}) {
    HostMatrix x(DType::kFloat32, 1, 2 * kCount);
    x.FillNormal(1, size);
    HostMatrix out(DType::kFloat32, 1, kCount), want(DType::kFloat32, 1, kCount);
    for (int kind = 0; kind <= static_cast<int>(Activation::kClampedSwiglu); ++kind) {
      const ActivationParams activation{static_cast<Activation>(kind)};
      Activate(activation, true, x, out);
      cpu->GatedActivation(activation, x.view(), want.view());
      EXPECT_TRUE(out.SameBits(want)) << kind << " size " << size;
    }
    HostMatrix capped(x);
    Softcap(capped, 0.5F, 30.0F);
    cpu->SoftcapLogits(x.view(), 0.5F, 30.0F);
    EXPECT_TRUE(capped.SameBits(x)) << size;
    HostMatrix gate(DType::kFloat32, 1, 1), sum(DType::kFloat32, 1, kCount);
    gate.set(0, 0, size);
    sum.FillNormal(2);
    out.FillNormal(2);
    Add(want, 1.0F, &gate, sum);
    cpu->AddSigmoidGated(want.view(), gate.view(), out.view());
    EXPECT_TRUE(sum.SameBits(out)) << size;
  }
}

TEST_F(CudaActivationTest, ActivationsMatchTheReferenceAtAnyShape) {
  for (Activation kind : kPlain) {
    for (DType act : kActs) {
      for (int64_t width : kWidths) {
        for (int64_t stride : RowStrides(width)) {
          HostMatrix x(act, 3, width, stride);
          x.FillNormal(1, 3.0F);
          HostMatrix out(act, 3, width, stride), want(act, 3, width, stride);
          Activate({kind}, false, x, out);
          reference_->Activate({kind}, x.view(), want.view());
          EXPECT_TRUE(Near(out, want,
                           [&](int64_t r, int64_t c) {
                             return Allowed(act, x.at(r, c), std::fabs(want.at(r, c)));
                           }))
              << static_cast<int>(kind) << " width " << width;
          Activate({kind}, false, x, x);
          EXPECT_TRUE(x.SameBits(out));
        }
      }
    }
  }
}

TEST_F(CudaActivationTest, GatedActivationsMatchTheReference) {
  for (int kind = 0; kind <= static_cast<int>(Activation::kClampedSwiglu); ++kind) {
    const ActivationParams activation{static_cast<Activation>(kind), 5.0F, 1.3F};
    for (DType act : kActs) {
      for (int64_t width : kWidths) {
        for (int place : {0, 1}) {
          const int64_t stride = RowStrides(width)[place];
          HostMatrix gate_up(act, 3, 2 * width, RowStrides(2 * width)[place]);
          gate_up.FillNormal(1, 8.0F);
          HostMatrix out(act, 3, width, stride), want(act, 3, width, stride);
          Activate(activation, true, gate_up, out);
          reference_->GatedActivation(activation, gate_up.view(), want.view());
          EXPECT_TRUE(Near(out, want,
                           [&](int64_t r, int64_t c) {
                             return Allowed(act, gate_up.at(r, c), std::fabs(want.at(r, c)));
                           }))
              << kind << " width " << width;
        }
      }
    }
  }
}

TEST_F(CudaActivationTest, SiluIsRightAtTheEnds) {
  const float gates[] = {0.0F,   -0.0F,   1e-30F, -1e-30F, 88.0F,  -88.0F,
                         200.0F, -200.0F, 3e38F,  -3e38F,  126.0F, -126.0F};
  constexpr int64_t kCount = 12;
  for (DType act : kActs) {
    HostMatrix x(act, 1, kCount), out(act, 1, kCount);
    for (int64_t i = 0; i < kCount; ++i) x.set(0, i, gates[i]);
    Activate({}, false, x, out);
    for (int64_t i = 0; i < kCount; ++i) {
      const double gate = x.at(0, i);
      if (gate < -80) {
        // The exponential ends at e^87.
        EXPECT_LE(std::fabs(out.at(0, i)), std::fabs(gate) * 0x1p-125) << gate;
      } else {
        const double want = gate / (1 + std::exp(-gate));
        EXPECT_NEAR(out.at(0, i), want, RoundingError(act, want) * 3) << gate;
      }
    }
  }
}

TEST_F(CudaActivationTest, GelusAndReluAreRightAtTheEnds) {
  const float ends[] = {0.0F, -0.0F, 1e-37F, 1e30F, 3e38F, -50.0F, -1e10F, -3e38F};
  for (Activation kind : {Activation::kGeluTanh, Activation::kGeluExact, Activation::kRelu}) {
    for (DType act : kActs) {
      HostMatrix x(act, 1, 8), out(act, 1, 8);
      for (int64_t i = 0; i < 8; ++i) x.set(0, i, ends[i]);
      Activate({kind}, false, x, out);
      for (int64_t i = 0; i < 8; ++i) {
        const float share = kind != Activation::kRelu && ends[i] == 1e-37F ? 0.5F : 1.0F;
        const float want = std::max(0.0F, share * x.at(0, i));
        EXPECT_NEAR(out.at(0, i), want, RoundingError(act, want) * 3) << ends[i];
      }
    }
  }
}

TEST_F(CudaActivationTest, NanStaysNan) {
  for (int kind = 0; kind <= static_cast<int>(Activation::kClampedSwiglu); ++kind) {
    for (DType act : kActs) {
      HostMatrix gate_up(act, 1, 40), out(act, 1, 20);
      gate_up.FillNormal(1);
      gate_up.set(0, 3, NAN);
      gate_up.set(0, 27, NAN);
      Activate({static_cast<Activation>(kind)}, true, gate_up, out);
      for (int64_t i = 0; i < 20; ++i) {
        EXPECT_EQ(std::isnan(out.at(0, i)), i == 3 || i == 7) << kind;
      }
    }
  }
  HostMatrix logits(DType::kFloat32, 1, 3);
  logits.set(0, 0, NAN);
  logits.set(0, 1, INFINITY);
  logits.set(0, 2, -INFINITY);
  Softcap(logits, 1.0F, 30.0F);
  EXPECT_TRUE(std::isnan(logits.at(0, 0)));
  EXPECT_EQ(logits.at(0, 1), 30.0F);
  EXPECT_EQ(logits.at(0, 2), -30.0F);
}

TEST_F(CudaActivationTest, SoftcapMatchesTheReference) {
  for (float cap : {0.0F, 30.0F, 50.0F}) {
    for (float size : {1e-4F, 1.0F, 30.0F, 1000.0F}) {
      for (int64_t width : {1, 33, 1100}) {
        const int64_t stride = RowStrides(width)[cap == 30.0F ? 1 : 0];
        HostMatrix x(DType::kFloat32, 3, width, stride);
        x.FillNormal(1, size);
        HostMatrix want(x);
        Softcap(x, 0.5F, cap);
        reference_->SoftcapLogits(want.view(), 0.5F, cap);
        EXPECT_TRUE(Near(
            x, want, [&](int64_t r, int64_t c) { return 8 * 0x1p-24 * std::fabs(want.at(r, c)); }))
            << cap << " " << size << " " << width;
      }
    }
  }
}

TEST_F(CudaActivationTest, SumsMatchTheReference) {
  for (DType act : kActs) {
    for (DType gate_dtype : kActs) {
      for (int64_t width : kWidths) {
        // Rows that are aligned with bf16, and some that are not with fp32.
        HostMatrix x(act, 3, width, RowStrides(width)[act == DType::kFloat32 ? 1 : 0]);
        x.FillNormal(1);
        HostMatrix gate(gate_dtype, 3, 1, 5);
        gate.FillNormal(2, 4.0F);
        HostMatrix out(DType::kFloat32, 3, width, RowStrides(width)[0]);
        out.FillNormal(3);
        HostMatrix want(out);
        // Roundings of the gate, of the product and of the sum.
        const auto near = [&](int64_t r, int64_t c) {
          return 8 * 0x1p-24 * (std::fabs(x.at(r, c)) + std::fabs(want.at(r, c)));
        };
        Add(x, 0.3F, nullptr, out);
        reference_->AddTo(x.view(), 0.3F, want.view());
        EXPECT_TRUE(Near(out, want, near)) << width;
        Add(x, 1.0F, &gate, out);
        reference_->AddSigmoidGated(x.view(), gate.view(), want.view());
        EXPECT_TRUE(Near(out, want, near)) << width;
      }
    }
  }
}

// Law of every op: alone, among others, in rows of another alignment, with the threads in another
// order.
TEST_F(CudaActivationTest, ARowsBitsDependOnThatRowAlone) {
  constexpr int64_t kRows = 5, kWidth = 536;
  for (DType act : kActs) {
    HostMatrix gate_up(act, kRows, 2 * kWidth), gate(act, kRows, 1);
    gate_up.FillNormal(2, 3.0F);
    gate.FillNormal(3);
    HostMatrix sums(DType::kFloat32, kRows, kWidth);
    sums.FillNormal(4);
    const HostMatrix before(sums);
    HostMatrix gated(act, kRows, kWidth);
    for (int kind = 0; kind <= static_cast<int>(Activation::kClampedSwiglu); ++kind) {
      const ActivationParams activation{static_cast<Activation>(kind)};
      Activate(activation, true, gate_up, gated);
      for (int64_t row = 0; row < kRows; ++row) {
        HostMatrix one(act, 2, 2 * kWidth, 2 * kWidth + 1), out(act, 2, kWidth, kWidth + 3);
        one.FillNormal(9, 100.0F);
        for (int64_t i = 0; i < 2 * kWidth; ++i) one.set(1, i, gate_up.at(row, i));
        Activate(activation, true, one, out, /*seed=*/row + 1);
        EXPECT_TRUE(gated.SameRowBits(row, out, 1)) << kind << " row " << row;
      }
    }
    Add(gated, 0.7F, &gate, sums);
    const HostMatrix added(sums);
    Softcap(sums, 0.5F, 3.0F);
    for (int64_t row = 0; row < kRows; ++row) {
      HostMatrix x(act, 2, kWidth, kWidth + 1), own_gate(act, 2, 1, 3);
      HostMatrix out(DType::kFloat32, 2, kWidth, kWidth + 3);
      x.FillNormal(9, 100.0F);
      own_gate.set(1, 0, gate.at(row, 0));
      for (int64_t i = 0; i < kWidth; ++i) {
        x.set(1, i, gated.at(row, i));
        out.set(1, i, before.at(row, i));
      }
      Add(x, 0.7F, &own_gate, out, /*seed=*/row + 1);
      EXPECT_TRUE(added.SameRowBits(row, out, 1)) << row;
      Softcap(out, 0.5F, 3.0F, /*seed=*/row + 1);
      EXPECT_TRUE(sums.SameRowBits(row, out, 1)) << row;
    }
  }
}

TEST_F(CudaActivationTest, NoRowsAreNoWork) {
  const HostMatrix x(DType::kBFloat16, 0, 64), out(DType::kFloat32, 0, 64);
  EmulatedLauncher launcher;
  cuda_emulated::LaunchActivateRows(launcher, {.activation = {}, .x = x.view(), .out = x.view()});
  cuda_emulated::LaunchAddRows(launcher, {.x = x.view(), .gate = {}, .out = out.view()});
  cuda_emulated::LaunchSoftcap(launcher, {.logits = out.view()});
  EXPECT_TRUE(launcher.status().ok()) << launcher.status();
}

}  // namespace
}  // namespace quire
