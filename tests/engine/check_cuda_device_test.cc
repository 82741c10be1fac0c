// Which GPUs the CUDA backend takes, and what it says to those that it does not.
#include "engine/cuda/check_cuda_device.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Refusal(const DeviceLimits& limits, bool has_kernels = true) {
  const absl::Status status = CheckCudaDevice("Some GPU", limits, has_kernels, "86, 90a");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  return std::string(status.message());
}

TEST(CheckCudaDevice, TakesEveryGpuThatKernelsAreWrittenFor) {
  for (const DeviceLimits& limits :
       {DeviceLimits{80, 163 << 10}, DeviceLimits{86, 99 << 10}, DeviceLimits{89, 99 << 10},
        DeviceLimits{90, 227 << 10}, DeviceLimits{100, 227 << 10}, DeviceLimits{120, 99 << 10}}) {
    EXPECT_TRUE(CheckCudaDevice("Some GPU", limits, true, "80").ok()) << limits.compute_capability;
  }
}

TEST(CheckCudaDevice, RefusesOthersWithTheNumbers) {
  EXPECT_THAT(Refusal({75, 64 << 10}), AllOf(HasSubstr("Some GPU"), HasSubstr("7.5"),
                                             HasSubstr("8.0"), HasSubstr("--device cpu")));
  EXPECT_THAT(Refusal({87, 64 << 10}), AllOf(HasSubstr("65536"), HasSubstr("101376")));
}

TEST(CheckCudaDevice, NamesTheArchitecturesOfABuildWithoutKernelsForIt) {
  EXPECT_THAT(
      Refusal({80, 163 << 10}, /*has_kernels=*/false),
      AllOf(HasSubstr("8.0"), HasSubstr("86, 90a"), HasSubstr("QUIRE_CUDA_ARCHITECTURES=80")));
}

TEST(DeviceLimits, KernelsOverlapFromCapability9On) {
  EXPECT_FALSE(DeviceLimits{.compute_capability = 89}.OverlapsKernels());
  EXPECT_TRUE(DeviceLimits{.compute_capability = 90}.OverlapsKernels());
}

}  // namespace
}  // namespace quire
