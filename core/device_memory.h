// Memory of the backend's device, taken at start and never on the step path.
#ifndef QUIRE_CORE_DEVICE_MEMORY_H_
#define QUIRE_CORE_DEVICE_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/device_matrix.h"
#include "core/dtype.h"
#include "core/memory_plan.h"

namespace quire {

// Owns a piece of device memory. On the CPU backend this is host memory.
class DeviceBuffer {
 public:
  using Free = std::function<void(void* data, size_t bytes)>;

  DeviceBuffer() = default;
  DeviceBuffer(void* data, size_t bytes, Free free)
      : data_(data), bytes_(bytes), free_(std::move(free)) {}
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(free_, other.free_);
    return *this;
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  ~DeviceBuffer() {
    if (data_ != nullptr) free_(data_, bytes_);
  }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
  Free free_;
};

class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // Zeroed memory, really there (no page of it faults later); RESOURCE_EXHAUSTED with the numbers
  // when it can't be had. `purpose` ("weights", "kv cache", ...) is the line of the memory plan
  // that it counts under. Thread-safe.
  virtual absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, absl::string_view purpose) = 0;
  virtual void CopyFromHost(void* device, const void* host, size_t bytes) = 0;

  // Bytes that could still be taken now.
  virtual size_t AvailableBytes() const = 0;
  virtual std::vector<MemoryUse> Plan() const = 0;
};

}  // namespace quire

#endif  // QUIRE_CORE_DEVICE_MEMORY_H_
