#include "core/cpu/host_memory.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

TEST(HostMemory, BuffersAreZeroedAndWritable) {
  ThreadPool pool(2);
  HostMemory memory(pool);
  for (size_t bytes : {size_t{1}, size_t{4096}, size_t{5000}, size_t{5} << 20}) {
    const DeviceBuffer buffer = memory.Allocate(bytes, "test").value();
    auto* data = static_cast<uint8_t*>(buffer.data());
    EXPECT_EQ(buffer.bytes(), bytes);
    EXPECT_TRUE(std::all_of(data, data + bytes, [](uint8_t byte) { return byte == 0; }));
    std::fill(data, data + bytes, 7);
  }
}

TEST(HostMemory, LargeBuffersStartAtAHugePage) {
  ThreadPool pool(1);
  HostMemory memory(pool);
  const DeviceBuffer small = memory.Allocate(100, "test").value();
  const DeviceBuffer large = memory.Allocate(size_t{2} << 20, "test").value();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(small.data()) % 4096, 0U);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large.data()) % (2U << 20), 0U);
}

TEST(HostMemory, NothingIsANullBuffer) {
  ThreadPool pool(1);
  HostMemory memory(pool);
  EXPECT_EQ(memory.Allocate(0, "test").value().data(), nullptr);
}

TEST(HostMemory, ThePlanCountsByPurposeAndForgetsWhatIsFreed) {
  ThreadPool pool(1);
  HostMemory memory(pool);
  const DeviceBuffer a = memory.Allocate(100, "weights").value();
  DeviceBuffer b = memory.Allocate(50, "kv cache").value();
  const DeviceBuffer c = memory.Allocate(11, "weights").value();
  ASSERT_EQ(memory.Plan().size(), 2U);
  EXPECT_EQ(memory.Plan()[0].purpose, "weights");
  EXPECT_EQ(memory.Plan()[0].bytes, 111U);
  EXPECT_EQ(memory.Plan()[1].bytes, 50U);
  { const DeviceBuffer gone = std::move(b); }
  EXPECT_EQ(memory.Plan()[1].bytes, 0U);
}

TEST(HostMemory, TooMuchIsRefusedWithTheNumbers) {
  ThreadPool pool(1);
  HostMemory memory(pool);
  const DeviceBuffer held = memory.Allocate(123, "weights").value();
  const size_t bytes = memory.AvailableBytes() + (size_t{1} << 40);
  const absl::Status status = memory.Allocate(bytes, "kv cache").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()),
              ::testing::AllOf(::testing::HasSubstr("kv cache needs " + std::to_string(bytes)),
                               ::testing::HasSubstr("weights 123")));
}

TEST(HostMemory, CopiesGoBothWays) {
  ThreadPool pool(1);
  HostMemory memory(pool);
  const DeviceBuffer buffer = memory.Allocate(4, "test").value();
  const int32_t in = 42;
  memory.CopyFromHost(buffer.data(), &in, sizeof(in));
  EXPECT_EQ(*static_cast<const int32_t*>(buffer.data()), 42);
}

}  // namespace
}  // namespace quire
