// The CUDA token vectors, emulated, against the table.
#include <cstdint>
#include <string>
#include <vector>

#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/launcher.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/cuda/embed.cuh"
#include "tests/testing/emulated_matrix.h"
#include "tests/testing/matrix.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedLauncher;
using ::quire::emulation::GlobalBuffer;
using ::quire::testing::EmulatedMatrix;
using ::quire::testing::HostMatrix;

absl::Status Embed(const HostMatrix& table, const std::vector<int32_t>& ids, float scale,
                   bool accumulate, const HostMatrix& out) {
  const GlobalBuffer<int32_t> id_memory("ids", ids);
  const EmulatedMatrix table_memory("table", table.view(), EmulatedMatrix::kInput);
  const EmulatedMatrix out_memory("out", out.view(),
                                  accumulate ? EmulatedMatrix::kInput : EmulatedMatrix::kOutput);
  EmulatedLauncher launcher;
  cuda_emulated::LaunchEmbed(launcher, {.table = table.view(),
                                        .ids = {id_memory.data(), id_memory.size()},
                                        .scale = scale,
                                        .accumulate = accumulate,
                                        .out = out.view()});
  EXPECT_TRUE(out_memory.IsWritten() || !launcher.status().ok());
  return launcher.status();
}

TEST(CudaEmbedTest, RowsAreThoseOfTheTable) {
  const std::vector<int32_t> ids = {3, 0, 10, 3};
  for (DType dtype : {DType::kFloat32, DType::kBFloat16}) {
    for (int64_t width : {1, 31, 32, 33, 1024, 1025, 2056}) {
      for (int64_t gap : {int64_t{0}, int64_t{3}}) {
        HostMatrix table(dtype, 11, width, width + gap);
        table.FillNormal(1);
        HostMatrix out(DType::kFloat32, 4, width, width + gap);
        const absl::Status status = Embed(table, ids, 0.5F, false, out);
        ASSERT_TRUE(status.ok()) << status;
        const HostMatrix twice(DType::kFloat32, 4, width, width + gap);
        ASSERT_TRUE(Embed(table, ids, 0.5F, false, twice).ok());
        ASSERT_TRUE(Embed(table, ids, 0.25F, true, twice).ok());
        for (int t = 0; t < 4; ++t) {
          for (int64_t i = 0; i < width; ++i) {
            ASSERT_EQ(out.at(t, i), 0.5F * table.at(ids[t], i));
            ASSERT_EQ(twice.at(t, i), 0.5F * table.at(ids[t], i) + 0.25F * table.at(ids[t], i));
          }
        }
      }
    }
  }
}

TEST(CudaEmbedTest, AnIdOutsideTheTableIsFound) {
  HostMatrix table(DType::kBFloat16, 11, 40);
  table.FillNormal(1);
  for (int32_t id : {-1, 11}) {
    const HostMatrix out(DType::kFloat32, 2, 40);
    EXPECT_THAT(std::string(Embed(table, {0, id}, 1.0F, false, out).message()),
                ::testing::HasSubstr("DeviceCheck"));
  }
}

}  // namespace
}  // namespace quire
