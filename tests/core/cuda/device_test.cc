// The device itself: its memory, its errors, and that its primitives are what the emulation takes
// them for. Skipped where there is no GPU.
#include <cuda_runtime_api.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/cuda/cuda_error.h"
#include "core/cuda/cuda_memory.h"
#include "core/cuda/cuda_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/cuda/all_primitives_emulated.h"
#include "tests/core/cuda/all_primitives_launch.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

class CudaDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<CudaMemory>> memory = CudaMemory::Make(0, 0.5);
    if (!memory.ok()) GTEST_SKIP() << memory.status();
    memory_ = *std::move(memory);
  }

  std::unique_ptr<CudaMemory> memory_;
};

TEST_F(CudaDeviceTest, PrimitivesAreThoseOfTheEmulation) {
  const std::vector<float> x = testing::AllPrimitivesInputs();
  const std::vector<uint32_t> want = testing::RunAllPrimitivesEmulated(x, 0);
  const auto take = [&](int64_t count) {
    return memory_->Allocate(count * sizeof(uint32_t), "test").value();
  };
  const DeviceBuffer x_memory = take(x.size()), counters = take(2), num_records = take(1);
  const DeviceBuffer out = take(cuda_emulated::kAllRecords * cuda_emulated::kAllThreads);
  memory_->CopyFromHost(x_memory.data(), x.data(), x_memory.bytes());
  CudaStream stream;
  testing::LaunchAllPrimitivesOnDevice(
      stream.get(), static_cast<float*>(x_memory.data()), static_cast<uint32_t*>(counters.data()),
      static_cast<uint32_t*>(out.data()), static_cast<uint32_t*>(num_records.data()));
  std::vector<uint32_t> got(want.size());
  uint32_t records = 0;
  stream.CopyToHost(got.data(), out.data(), got.size() * sizeof(uint32_t));
  stream.CopyToHost(&records, num_records.data(), sizeof(records));
  stream.Wait();
  ASSERT_EQ(records * cuda_emulated::kAllThreads, want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    const size_t record = i / cuda_emulated::kAllThreads;
    if (record < cuda_emulated::kAllFast) {
      const float a = std::bit_cast<float>(got[i]), b = std::bit_cast<float>(want[i]);
      EXPECT_LE(std::fabs(a - b), 0x1p-10F * std::fabs(b)) << "record " << record;
    } else {
      EXPECT_EQ(got[i], want[i]) << "record " << record << " thread "
                                 << i % cuda_emulated::kAllThreads;
    }
  }
}

TEST_F(CudaDeviceTest, MemoryIsZeroedCountedAndRefusedWithTheNumbers) {
  const size_t available = memory_->AvailableBytes();
  {
    const DeviceBuffer buffer = memory_->Allocate(1 << 20, "weights").value();
    std::vector<char> host(buffer.bytes(), 1);
    QUIRE_CUDA_CHECK(cudaMemcpy(host.data(), buffer.data(), host.size(), cudaMemcpyDeviceToHost));
    EXPECT_EQ(host, std::vector<char>(host.size(), 0));
    ASSERT_EQ(memory_->Plan().size(), 1U);
    EXPECT_EQ(memory_->Plan()[0].bytes, size_t{1} << 20);
    EXPECT_LE(memory_->AvailableBytes(), available - (size_t{1} << 20));
    const absl::Status status = memory_->Allocate(available + 1, "kv cache").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(status.message()), HasSubstr("already taken: weights 1048576"));
  }
  EXPECT_EQ(memory_->Plan()[0].bytes, 0U);
}

TEST(CudaMemoryTest, RefusesAFractionThatIsNone) {
  for (double fraction : {0.0, -0.1, 1.1, std::nan("")}) {
    EXPECT_EQ(CudaMemory::Make(0, fraction).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(CudaMemory::Make(1000, 0.5).status().code(), absl::StatusCode::kFailedPrecondition);
}

// Death tests fork: no device is touched before or in them but to name the error.
TEST(CudaErrorDeathTest, EndsTheProcessWithOneLineAndItsCode) {
  EXPECT_EXIT(QUIRE_CUDA_CHECK(cudaErrorIllegalAddress), ::testing::ExitedWithCode(70),
              "^quire: CUDA error cudaErrorIllegalAddress .*device_test.cc:[0-9]+; the device's "
              "context is lost, the process ends\n$");
}

}  // namespace
}  // namespace quire
