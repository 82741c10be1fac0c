// The CUDA norms, emulated, against the reference.
#include <cstdint>
#include <memory>
#include <optional>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/cuda/emulation/launcher.h"
#include "gtest/gtest.h"
#include "ops/cuda/norm.cuh"
#include "ops/reference/reference_ops.h"
#include "tests/ops/norm_harness.h"
#include "tests/testing/emulated_matrix.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::testing::EmulatedMatrix;
using ::quire::testing::HostMatrix;
using ::quire::testing::kNormKinds;
using ::quire::testing::NearNorm;
using ::quire::testing::RandomNorm;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};

class CudaNormTest : public ::testing::Test {
 protected:
  // Runs the kernel; out and what of x it changes are written whole, nothing else is touched.
  static void Run(const HostMatrix& x, const HostMatrix* delta, float delta_scale, const Norm& norm,
                  const HostMatrix& out, bool into_x = false, uint32_t seed = 0) {
    NormArgs args{.kind = norm.kind, .eps = norm.eps, .x = x.view(), .out = out.view()};
    args.into_x = into_x;
    const EmulatedMatrix x_memory("x", x.view(), EmulatedMatrix::kInput);
    std::optional<EmulatedMatrix> out_memory, delta_memory, weight_memory, bias_memory;
    if (&out != &x) out_memory.emplace("out", out.view(), EmulatedMatrix::kOutput);
    if (delta != nullptr) {
      args.delta = delta->view();
      args.delta_scale = delta_scale;
      delta_memory.emplace("delta", delta->view(), EmulatedMatrix::kInput);
    }
    const auto vector = [&](const char* name, const DeviceVector& from,
                            std::optional<EmulatedMatrix>& memory) -> const float* {
      if (from.size() == 0) return nullptr;
      memory.emplace(name,
                     DeviceMatrix{from.buffer.data(), DType::kFloat32, 1, from.size(), from.size()},
                     EmulatedMatrix::kInput);
      return from.data();
    };
    args.weight = vector("weight", norm.weight, weight_memory);
    args.bias = vector("bias", norm.bias, bias_memory);

    EmulatedLauncher launcher({.seed = seed, .resident_blocks = seed == 0 ? 1 : 3});
    cuda_emulated::LaunchNorm(launcher, args);
    ASSERT_TRUE(launcher.status().ok()) << launcher.status();
    if (out_memory.has_value()) {
      EXPECT_TRUE(out_memory->IsWritten());
    }
  }

  // Sums have as few roundings as those of the CPU: NearNorm holds for both.
  ThreadPool pool_{1};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> reference_ = MakeReferenceOps(memory_);
};

TEST_F(CudaNormTest, NormsMatchTheReferenceAtEveryWidth) {
  for (int64_t width : {1, 7, 8, 9, 31, 32, 33, 255, 512, 520, 1000, 1024}) {
    for (NormKind kind : kNormKinds) {
      for (DType in : kActs) {
        for (DType out_dtype : kActs) {
          // Rows that begin where packs of 16 bytes do, and rows that do not.
          for (int64_t gap : {int64_t{3}, 8 + (8 - width % 8) % 8}) {
            const Norm norm = RandomNorm(*reference_, kind, width);
            HostMatrix x(in, 3, width, width + gap);
            x.FillNormal(1, 10.0F);
            HostMatrix out(out_dtype, 3, width, width + gap);
            HostMatrix want(out_dtype, 3, width, width + gap);
            Run(x, nullptr, 1.0F, norm, out);
            reference_->Normalise(x.view(), norm, want.view());
            EXPECT_TRUE(NearNorm(out, want, 3.0))
                << static_cast<int>(kind) << " width " << width << " gap " << gap;
          }
        }
      }
    }
  }
}

// Beyond what a block's threads keep in registers.
TEST_F(CudaNormTest, WideRowsMatchTheReference) {
  for (int64_t width : {16384, 16385, 20000}) {
    for (NormKind kind : {NormKind::kRms, NormKind::kLayer}) {
      const Norm norm = RandomNorm(*reference_, kind, width);
      HostMatrix x(DType::kFloat32, 1, width), same(DType::kFloat32, 1, width);
      HostMatrix delta(DType::kBFloat16, 1, width);
      x.FillNormal(1, 10.0F);
      same.FillNormal(1, 10.0F);
      delta.FillNormal(2, 10.0F);
      HostMatrix out(DType::kBFloat16, 1, width), want(DType::kBFloat16, 1, width);
      Run(x, &delta, 1.0F, norm, out);
      reference_->AddNormalise({same.view(), delta.view(), 1.0F, norm, want.view()});
      EXPECT_TRUE(NearNorm(out, want, 3.0)) << width;
      EXPECT_TRUE(NearNorm(x, same, 0.0)) << width;
    }
  }
}

TEST_F(CudaNormTest, TheDeltaIsAddedToTheResidualFirst) {
  for (NormKind kind : kNormKinds) {
    for (DType delta_dtype : kActs) {
      for (DType out_dtype : kActs) {
        for (bool into_residual : {false, true}) {
          for (int64_t width : {33, 520}) {
            const Norm norm =
                RandomNorm(*reference_, kind, width, kind != NormKind::kNone, into_residual);
            HostMatrix x(DType::kFloat32, 4, width, width + 7);
            x.FillNormal(5, 10.0F);
            HostMatrix want_x(x);
            HostMatrix delta(delta_dtype, 4, width, width + 8);
            delta.FillNormal(6, 10.0F);
            HostMatrix out(out_dtype, 4, width), want(out_dtype, 4, width);
            Run(x, &delta, 0.5F, norm, out, into_residual);
            AddNormaliseArgs args{want_x.view(), delta.view(), 0.5F, norm, want.view()};
            args.into_residual = into_residual;
            reference_->AddNormalise(args);
            // An element of the sum is off by a rounding of what was added.
            EXPECT_TRUE(NearNorm(out, want, 50.0));
            EXPECT_TRUE(NearNorm(x, want_x, 50.0));
          }
        }
      }
    }
  }
}

TEST_F(CudaNormTest, NormsWorkInPlace) {
  for (NormKind kind : kNormKinds) {
    const Norm norm = RandomNorm(*reference_, kind, 17000);
    HostMatrix x(DType::kBFloat16, 2, 17000);
    x.FillNormal(1);
    HostMatrix out(DType::kBFloat16, 2, 17000);
    Run(x, nullptr, 1.0F, norm, out);
    Run(x, nullptr, 1.0F, norm, x);
    EXPECT_TRUE(x.SameBits(out));
  }
}

// Law of every op: alone, among others, at another place, in rows of another alignment, with the
// threads in another order.
TEST_F(CudaNormTest, ARowsBitsDependOnThatRowAlone) {
  for (NormKind kind : kNormKinds) {
    for (int64_t width : {40, 1000}) {
      const Norm norm = RandomNorm(*reference_, kind, width);
      HostMatrix rows(DType::kBFloat16, 5, width);
      rows.FillNormal(1, 10.0F);
      HostMatrix together(DType::kFloat32, 5, width);
      Run(rows, nullptr, 1.0F, norm, together);
      for (int64_t row = 0; row < 5; ++row) {
        // The last of two rows that are not aligned.
        HostMatrix other(DType::kBFloat16, 2, width, width + 1);
        other.FillNormal(9, 100.0F);
        for (int64_t i = 0; i < width; ++i) other.set(1, i, rows.at(row, i));
        HostMatrix out(DType::kFloat32, 2, width, width + 3);
        Run(other, nullptr, 1.0F, norm, out, false, /*seed=*/static_cast<uint32_t>(row + 1));
        EXPECT_TRUE(together.SameRowBits(row, out, 1)) << width << " row " << row;
      }
    }
  }
}

TEST_F(CudaNormTest, NoRowsAreNoWork) {
  const Norm norm = RandomNorm(*reference_, NormKind::kRms, 64);
  const HostMatrix x(DType::kFloat32, 0, 64);
  EmulatedLauncher launcher;
  cuda_emulated::LaunchNorm(launcher, {.kind = norm.kind, .x = x.view(), .out = x.view()});
  EXPECT_TRUE(launcher.status().ok()) << launcher.status();
}

}  // namespace
}  // namespace quire
