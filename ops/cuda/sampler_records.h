// Records that go to the device and come from there: in host memory one behind the other, in a
// device buffer of one turn, by one copy each way.
#ifndef QUIRE_OPS_CUDA_SAMPLER_RECORDS_H_
#define QUIRE_OPS_CUDA_SAMPLER_RECORDS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/check.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "core/status_macros.h"

namespace quire {

inline constexpr size_t kRecordAlignment = 16;

template <typename T>
constexpr size_t RecordBytes(int64_t count) {
  const size_t bytes = static_cast<size_t>(count) * sizeof(T);
  return (bytes + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

// Staging memory that is given out piece by piece, until all of it comes back at once.
class StagingArena {
 public:
  absl::Status Reserve(DeviceQueue& queue, size_t bytes) {
    QUIRE_ASSIGN_OR_RETURN(buffer_, queue.MakeStaging(bytes));
    return absl::OkStatus();
  }
  bool HasRoomFor(size_t bytes) const { return used_ + bytes <= buffer_.bytes(); }
  char* Take(size_t bytes) {
    QUIRE_CHECK(HasRoomFor(bytes)) << bytes << " beyond " << used_;
    char* const taken = static_cast<char*>(buffer_.data()) + used_;
    used_ += bytes;
    return taken;
  }
  void TakeBack() { used_ = 0; }

 private:
  DeviceBuffer buffer_;
  size_t used_ = 0;
};

// Records of one turn: added, or left room for, in the same places of host and device memory.
class RecordBlock {
 public:
  RecordBlock(char* host, const DeviceBuffer& device, size_t bytes)
      : host_(host), device_(static_cast<char*>(device.data())), bytes_(bytes) {
    QUIRE_CHECK_LE(bytes, device.bytes());
  }

  template <typename T>
  struct Place {
    T* host;
    T* device;
  };

  template <typename T>
  Place<T> Room(int64_t count) {
    const Place<T> place{reinterpret_cast<T*>(host_ + used_),
                         reinterpret_cast<T*>(device_ + used_)};
    used_ += RecordBytes<T>(count);
    QUIRE_CHECK_LE(used_, bytes_);
    return place;
  }
  template <typename T>
  Place<T> Add(const std::vector<T>& records) {
    const Place<T> place = Room<T>(static_cast<int64_t>(records.size()));
    if (!records.empty()) std::memcpy(place.host, records.data(), records.size() * sizeof(T));
    return place;
  }

  void Send(DeviceQueue& queue) const { queue.CopyToDevice(device_, host_, used_); }
  void Fetch(DeviceQueue& queue) const { queue.CopyToHost(host_, device_, used_); }

 private:
  char* host_;
  char* device_;
  size_t bytes_;
  size_t used_ = 0;
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_SAMPLER_RECORDS_H_
