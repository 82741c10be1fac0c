// The emulation in the place of a device: its memory, its copies, its faults.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/allocation_bytes.h"
#include "core/cuda/emulation/emulated_memory.h"
#include "core/cuda/emulation/emulated_queue.h"
#include "core/cuda/primitives/global.cuh"
#include "core/cuda/primitives/index.cuh"
#include "core/cuda/queue_launcher.cuh"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::quire::emulation::EmulatedMemory;
using ::quire::emulation::EmulatedQueue;

QUIRE_KERNEL(32, 1) void AddOneKernel(cuda_emulated::Global<int32_t> x) {
  x.Store(cuda_emulated::ThreadIndex(), x.Load(cuda_emulated::ThreadIndex()) + 1);
}

void AddOne(DeviceQueue& queue, void* x) {
  cuda_emulated::QueueLauncher launcher(queue);
  launcher.Launch({.name = "add one"}, &AddOneKernel,
                  cuda_emulated::Global<int32_t>(static_cast<int32_t*>(x)));
}

TEST(EmulatedQueue, CopiesAndKernelsFollowEachOther) {
  EmulatedMemory memory;
  EmulatedQueue queue;
  const DeviceBuffer buffer = memory.Allocate(128, "test").value();
  const std::vector<int32_t> sent(32, 41);
  std::vector<int32_t> got(32);
  queue.CopyToHost(got.data(), buffer.data(), 128);
  EXPECT_EQ(got, std::vector<int32_t>(32, 0));  // zeroed
  queue.CopyToDevice(buffer.data(), sent.data(), 128);
  AddOne(queue, buffer.data());
  queue.CopyToHost(got.data(), buffer.data(), 128);
  queue.Wait();
  EXPECT_EQ(got, std::vector<int32_t>(32, 42));
}

TEST(EmulatedQueueDeathTest, AFaultEndsTheProcessWithItsText) {
  EmulatedMemory memory;
  EmulatedQueue queue;
  const DeviceBuffer buffer = memory.Allocate(64, "half as much").value();
  AddOne(queue, buffer.data());
  EXPECT_DEATH(queue.Wait(), "add one.*half as much");
  char host[128];
  EmulatedQueue other;
  other.CopyToDevice(buffer.data(), host, 128);
  EXPECT_DEATH(other.Wait(), "a copy to the device.*out of bounds");
}

// What waits too little, or writes staging memory too early, is seen.
TEST(EmulatedQueue, WorkIsDoneAsLateAsItMay) {
  EmulatedMemory memory;
  EmulatedQueue queue;
  const DeviceBuffer buffer = memory.Allocate(128, "test").value();
  const DeviceBuffer staging = queue.MakeStaging(256).value();
  auto* const sent = static_cast<int32_t*>(staging.data());
  auto* const got = sent + 32;
  std::fill_n(sent, 32, 1);
  queue.CopyToDevice(buffer.data(), sent, 128);
  AddOne(queue, buffer.data());
  queue.CopyToHost(got, buffer.data(), 128);
  const DeviceQueue::Mark first = queue.SetMark();
  AddOne(queue, buffer.data());
  queue.CopyToHost(got, buffer.data(), 128);
  std::fill_n(sent, 32, 10);  // too early
  EXPECT_EQ(got[0], 0);
  queue.Await(first);
  EXPECT_EQ(got[0], 11);
  queue.Wait();
  EXPECT_EQ(got[31], 12);
}

TEST(EmulatedQueue, AGraphIsDoneWhereItIsRunWithWhatIsStagedThen) {
  EmulatedMemory memory;
  EmulatedQueue queue;
  const DeviceBuffer buffer = memory.Allocate(128, "test").value();
  const DeviceBuffer staging = queue.MakeStaging(128).value();
  auto* const staged = static_cast<int32_t*>(staging.data());
  const auto graph = queue.Record([&] {
    AddOne(queue, buffer.data());
    AddOne(queue, buffer.data());
    queue.CopyToHost(staged, buffer.data(), 128);
  });
  ASSERT_TRUE(graph.ok());
  queue.Wait();
  EXPECT_EQ(staged[0], 0);
  queue.Run(**graph);
  queue.Run(**graph);
  queue.Wait();
  EXPECT_EQ(staged[0], 4);
}

TEST(EmulatedQueueDeathTest, AGraphTakesNoMemoryThatMayBeGone) {
  EmulatedMemory memory;
  EmulatedQueue queue;
  const DeviceBuffer buffer = memory.Allocate(128, "test").value();
  char host[128] = {};
  EXPECT_DEATH(
      static_cast<void>(queue.Record([&] { queue.CopyToDevice(buffer.data(), host, 128); })),
      "of no MakeStaging");
}

TEST(EmulatedMemory, GivesOutItsBudgetInWholeAllocationsAndTakesItBack) {
  EmulatedMemory memory(1024);
  {
    const DeviceBuffer buffer = memory.Allocate(600, "weights").value();
    EXPECT_EQ(memory.AvailableBytes(), 1024 - AllocationBytes(600));
    const auto refused = memory.Allocate(memory.AvailableBytes() + 1, "kv cache");
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(memory.AvailableBytes(), 1024U);
}

}  // namespace
}  // namespace quire
