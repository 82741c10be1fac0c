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
#include "core/dtype.h"

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

// A line of the memory plan that the server prints and GetServerInfo returns.
struct MemoryUse {
  std::string purpose;
  size_t bytes = 0;
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

// A row-major matrix [rows, cols] in device memory, borrowed. Strides in elements. Only a backend
// reads `data`.
struct DeviceMatrix {
  void* data = nullptr;
  DType dtype = DType::kFloat32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t row_stride = 0;

  template <typename T>
  T* Row(int64_t row) const {
    return static_cast<T*>(data) + row * row_stride;
  }
  // Rows [begin, begin + count).
  DeviceMatrix Rows(int64_t begin, int64_t count) const {
    DeviceMatrix view = *this;
    view.data =
        static_cast<char*>(data) + begin * row_stride * static_cast<int64_t>(DTypeBytes(dtype));
    view.rows = count;
    return view;
  }
  // Columns [begin, begin + count).
  DeviceMatrix Columns(int64_t begin, int64_t count) const {
    DeviceMatrix view = *this;
    view.data = static_cast<char*>(data) + begin * static_cast<int64_t>(DTypeBytes(dtype));
    view.cols = count;
    return view;
  }
};

// A flat array in device memory, borrowed.
template <typename T>
struct DeviceArray {
  T* data = nullptr;
  int64_t size = 0;
};

}  // namespace quire

#endif  // QUIRE_CORE_DEVICE_MEMORY_H_
