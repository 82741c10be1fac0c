// DeviceMemory of the CPU backend.
#ifndef QUIRE_CORE_CPU_HOST_MEMORY_H_
#define QUIRE_CORE_CPU_HOST_MEMORY_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/cpu/thread_pool.h"
#include "core/device_memory.h"
#include "core/memory_plan.h"

namespace quire {

// Pages straight from the kernel, aligned to 4 KiB, or to 2 MiB and huge where a buffer has that
// size. Thread-safe. Outlives its buffers.
class HostMemory : public DeviceMemory {
 public:
  // `pool` touches the pages of large buffers.
  explicit HostMemory(ThreadPool& pool) : pool_(pool) {}

  absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, absl::string_view purpose) override;
  void CopyFromHost(void* device, const void* host, size_t bytes) override;
  size_t AvailableBytes() const override;
  std::vector<MemoryUse> Plan() const override { return plan_.lines(); }

 private:
  absl::Status OutOfMemory(size_t bytes, absl::string_view purpose) const;
  void Populate(char* data, size_t bytes);

  ThreadPool& pool_;
  MemoryPlan plan_;
};

}  // namespace quire

#endif  // QUIRE_CORE_CPU_HOST_MEMORY_H_
