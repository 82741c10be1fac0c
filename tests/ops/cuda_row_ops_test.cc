// The CUDA gathers and sums of rows, emulated, against the reference.
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/launcher.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cuda/row_ops.cuh"
#include "ops/reference/reference_ops.h"
#include "tests/testing/emulated_matrix.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::emulation::GlobalBuffer;
using ::quire::testing::EmulatedMatrix;
using ::quire::testing::HostMatrix;
using ::quire::testing::RowStrides;

constexpr DType kActs[] = {DType::kBFloat16, DType::kFloat32};
// Of rows: within a chunk, around one, around a warp's chunks, beyond a block's.
constexpr int64_t kWidths[] = {1, 7, 8, 9, 33, 256, 257, 1040};

EmulatedLauncher MakeLauncher(uint32_t seed) {
  return EmulatedLauncher({.seed = seed, .resident_blocks = seed == 0 ? 1 : 3});
}

absl::Status Gather(const HostMatrix& x, const std::vector<int32_t>& rows, const HostMatrix& out,
                    uint32_t seed = 0) {
  const EmulatedMatrix x_memory("x", x.view(), EmulatedMatrix::kInput);
  const EmulatedMatrix out_memory("out", out.view(), EmulatedMatrix::kOutput);
  const GlobalBuffer<int32_t> row_memory("rows", rows);
  EmulatedLauncher launcher = MakeLauncher(seed);
  cuda_emulated::LaunchGatherRows(
      launcher, {.x = x.view(), .rows = {row_memory.data(), row_memory.size()}, .out = out.view()});
  EXPECT_TRUE(out_memory.IsWritten() || !launcher.status().ok());
  return launcher.status();
}

std::vector<float> Sum(const DeviceMatrix& x, const std::vector<float>& before, uint32_t seed = 0) {
  const EmulatedMatrix x_memory("x", x, EmulatedMatrix::kInput);
  const GlobalBuffer<float> sum("sum", before);
  EmulatedLauncher launcher = MakeLauncher(seed);
  cuda_emulated::LaunchSumRows(launcher, {.x = x, .sum = sum.data()});
  EXPECT_TRUE(launcher.status().ok()) << launcher.status();
  return {sum.data(), sum.data() + sum.size()};
}

// NaN too: its bits are copied.
TEST(CudaRowOpsTest, GatheredRowsAreCopies) {
  for (const DType act : kActs) {
    for (int64_t width : kWidths) {
      for (int64_t stride : RowStrides(width)) {
        HostMatrix x(act, 9, width, stride);
        x.FillNormal(1);
        x.set(3, width / 2, NAN);
        const std::vector<int32_t> rows = {8, 0, 3, 3, 8};
        HostMatrix out(act, 5, width, stride);
        const absl::Status status = Gather(x, rows, out);
        ASSERT_TRUE(status.ok()) << status;
        for (int64_t r = 0; r < 5; ++r) EXPECT_TRUE(out.SameRowBits(r, x, rows[r]));
      }
    }
  }
}

TEST(CudaRowOpsTest, ARowThatIsNotThereIsNotRead) {
  HostMatrix x(DType::kFloat32, 4, 16);
  x.FillNormal(1);
  const HostMatrix out(DType::kFloat32, 1, 16);
  for (int32_t row : {-1, 4, 1 << 30}) {
    const absl::Status status = Gather(x, {row}, out);
    EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("DeviceCheck")) << row;
  }
}

TEST(CudaRowOpsTest, SumsOfRowsHaveTheReferencesBitsHoweverTheRowsAreCut) {
  ThreadPool pool(1);
  HostMemory memory(pool);
  const std::unique_ptr<Ops> reference = MakeReferenceOps(memory);
  for (const DType act : kActs) {
    for (int64_t width : {1, 31, 33, 70}) {
      HostMatrix x(act, 37, width, width + 4);
      x.FillNormal(1);
      const std::vector<float> before(width, 0.5F);
      std::vector<float> want = before;
      reference->SumRows(x.view(), absl::MakeSpan(want));
      EXPECT_EQ(Sum(x.view(), before), want);
      for (int64_t cut : {0, 1, 15, 16, 17, 37}) {
        const std::vector<float> first = Sum(x.view().Rows(0, cut), before, /*seed=*/cut + 1);
        EXPECT_EQ(Sum(x.view().Rows(cut, 37 - cut), first), want) << cut;
      }
    }
  }
}

TEST(CudaRowOpsTest, NoRowsAreNoWork) {
  const HostMatrix x(DType::kBFloat16, 0, 64);
  EmulatedLauncher launcher;
  cuda_emulated::LaunchGatherRows(launcher, {.x = x.view(), .rows = {}, .out = x.view()});
  EXPECT_TRUE(launcher.status().ok()) << launcher.status();
  EXPECT_EQ(Sum(x.view(), std::vector<float>(64, 0.25F)), std::vector<float>(64, 0.25F));
}

}  // namespace
}  // namespace quire
