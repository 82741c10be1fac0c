// DeviceMemory that emulated kernels can reach. For tests.
#ifndef QUIRE_CORE_CUDA_EMULATION_EMULATED_MEMORY_H_
#define QUIRE_CORE_CUDA_EMULATION_EMULATED_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "core/memory_plan.h"

namespace quire::emulation {

// Zeroed, aligned to 256 bytes, up to `budget_bytes` in all. Outlives its buffers.
class EmulatedMemory : public DeviceMemory {
 public:
  explicit EmulatedMemory(size_t budget_bytes = size_t{1} << 30) : budget_bytes_(budget_bytes) {}

  absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, absl::string_view purpose) override;
  void CopyFromHost(void* device, const void* host, size_t bytes) override;
  // From now on copies and frees wait for the work of `queue`, as a device's do. It outlives the
  // buffers.
  void WaitFor(DeviceQueue& queue) { queue_ = &queue; }
  size_t AvailableBytes() const override { return budget_bytes_ - plan_.total_bytes(); }
  std::vector<MemoryUse> Plan() const override { return plan_.lines(); }
  // Calls of Allocate so far.
  uint64_t allocations() const { return allocations_; }

 private:
  size_t budget_bytes_;
  DeviceQueue* queue_ = nullptr;
  MemoryPlan plan_;
  std::atomic<uint64_t> allocations_ = 0;
};

}  // namespace quire::emulation

#endif  // QUIRE_CORE_CUDA_EMULATION_EMULATED_MEMORY_H_
