// Weights in one piece of device memory: a driver rounds each of many small buffers up to what it
// gives out, which no plan knows, and takes its time for it.
#ifndef QUIRE_ENGINE_CUDA_WEIGHT_MEMORY_H_
#define QUIRE_ENGINE_CUDA_WEIGHT_MEMORY_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/device_memory.h"

namespace quire {

// Memory of another, which outlives it and its buffers. Allocate is not thread-safe.
class WeightMemory : public DeviceMemory {
 public:
  explicit WeightMemory(DeviceMemory& memory) : memory_(memory) {}

  // Buffers for "weights" are taken from one piece of `bytes` from now on, one behind the other, as
  // long as it lasts. It stays until this and its buffers are gone. RESOURCE_EXHAUSTED where it
  // isn't to be had.
  absl::Status Reserve(size_t bytes);

  absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, absl::string_view purpose) override;
  void CopyFromHost(void* device, const void* host, size_t bytes) override {
    memory_.CopyFromHost(device, host, bytes);
  }
  size_t AvailableBytes() const override { return memory_.AvailableBytes(); }
  std::vector<MemoryUse> Plan() const override { return memory_.Plan(); }

 private:
  DeviceMemory& memory_;
  std::shared_ptr<DeviceBuffer> piece_;
  size_t used_ = 0;  // bytes of it
};

}  // namespace quire

#endif  // QUIRE_ENGINE_CUDA_WEIGHT_MEMORY_H_
