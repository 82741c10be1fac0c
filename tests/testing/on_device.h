// Backends of a device behind the face that tests of host memory know: what a call reads is copied
// to the device before it, and what it writes back behind it, gaps between rows included.
#ifndef QUIRE_TESTS_TESTING_ON_DEVICE_H_
#define QUIRE_TESTS_TESTING_ON_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "attention/attention.h"
#include "attention/mla.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "ops/ops.h"

namespace quire::testing {

// The copies of one call.
class DeviceCopies {
 public:
  DeviceCopies(DeviceMemory& memory, DeviceQueue& queue) : memory_(memory), queue_(queue) {}

  // Null and empty things stay so. Copies begin as far from a multiple of 16 as the originals.
  void* ReadBytes(const void* data, size_t bytes);
  void* ReadAndWrite(void* data, size_t bytes);
  DeviceMatrix Read(const DeviceMatrix& matrix);
  DeviceMatrix ReadAndWrite(const DeviceMatrix& matrix);
  template <typename T>
  const T* Read(const T* data, int64_t count) {
    return static_cast<const T*>(ReadBytes(data, static_cast<size_t>(count) * sizeof(T)));
  }
  template <typename T>
  DeviceArray<const T> Read(DeviceArray<const T> array) {
    return {Read(array.data, array.size), array.size};
  }
  PagedKvView Read(PagedKvView kv);
  PagedKvView ReadAndWrite(PagedKvView kv);
  RopeTable Read(RopeTable rope);
  // The original is on_host.
  AttentionBatch Read(const AttentionBatch& batch);

  // Waits for the call; then what it may have written is in host memory.
  void Finish();

 private:
  struct Written {
    void* host;
    const void* device;
    size_t bytes;
  };

  DeviceMemory& memory_;
  DeviceQueue& queue_;
  std::vector<DeviceBuffer> buffers_;
  std::vector<Written> written_;
};

// `real`, `memory` and `queue` of one device outlive what is made of them.
std::unique_ptr<Ops> MakeOpsOnDevice(Ops& real, DeviceMemory& memory, DeviceQueue& queue);
// All rows are generated ones where `generated`, else as the calls say.
std::unique_ptr<Attention> MakeAttentionOnDevice(Attention& real, DeviceMemory& memory,
                                                 DeviceQueue& queue, bool generated = false);
std::unique_ptr<Mla> MakeMlaOnDevice(Mla& real, DeviceMemory& memory, DeviceQueue& queue);

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_ON_DEVICE_H_
