// DeviceMemory of the CUDA backend.
#ifndef QUIRE_CORE_CUDA_CUDA_MEMORY_H_
#define QUIRE_CORE_CUDA_CUDA_MEMORY_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/device_memory.h"
#include "core/memory_plan.h"

namespace quire {

// Memory of one device, within a budget that is fixed at start. Buffers are aligned to 256 bytes.
// Thread-safe. Outlives its buffers.
class CudaMemory : public DeviceMemory {
 public:
  // Up to `fraction` of device `device`'s memory, of which others may have taken some already.
  // INVALID_ARGUMENT where the fraction isn't in (0, 1]; FAILED_PRECONDITION where there is no such
  // device.
  static absl::StatusOr<std::unique_ptr<CudaMemory>> Make(int device, double fraction);

  absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, absl::string_view purpose) override;
  // Behind all work so far, and there when it returns.
  void CopyFromHost(void* device, const void* host, size_t bytes) override;
  size_t AvailableBytes() const override;
  std::vector<MemoryUse> Plan() const override { return plan_.lines(); }

 private:
  CudaMemory(int device, size_t budget_bytes) : device_(device), budget_bytes_(budget_bytes) {}

  absl::Status OutOfMemory(size_t bytes, absl::string_view purpose) const;

  int device_;
  size_t budget_bytes_;
  MemoryPlan plan_;
};

}  // namespace quire

#endif  // QUIRE_CORE_CUDA_CUDA_MEMORY_H_
