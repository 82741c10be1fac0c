// The arrays of a batch in the memory of a CUDA device.
#ifndef QUIRE_ENGINE_CUDA_DEVICE_PLACEMENT_H_
#define QUIRE_ENGINE_CUDA_DEVICE_PLACEMENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "engine/executor.h"

namespace quire {

// What goes to the device for a batch; on the host.
struct HostArrays {
  const ModelBatch& model;
  absl::Span<const int32_t> token_sources;  // [T] or none
  absl::Span<const int32_t> logits_rows;
  absl::Span<const int32_t> scored_rows;
};

struct PlacedBatch {
  ModelBatch model;
  int32_t* token_ids = nullptr;  // the model's
  DeviceArray<const int32_t> token_sources;
  DeviceArray<const int32_t> logits_rows;
  DeviceArray<const int32_t> scored_rows;
};

// Packs the arrays into staging memory and copies them once a batch, behind the queue's work so
// far. Batches share the device's side; those that overlap have staging memory of their own.
class DevicePlacement {
 public:
  // RESOURCE_EXHAUSTED when memory ends. `queue` and `memory` outlive it.
  static absl::StatusOr<std::unique_ptr<DevicePlacement>> Create(const BatchLimits& limits,
                                                                 int slots, DeviceQueue& queue,
                                                                 DeviceMemory& memory);
  static size_t Bytes(const BatchLimits& limits);

  // The slot's batch before has been computed. The result is valid until the next call; its
  // model's host arrays are those given.
  const PlacedBatch& Place(int slot, const HostArrays& batch);
  // The same, of decode steps that are all as large: every array is where it was for any other of
  // `rows` rows.
  const PlacedBatch& PlaceDecode(int slot, const HostArrays& batch, int64_t rows);

 private:
  // How many elements each array has room for.
  struct Room {
    int64_t rows, entries, token_sources, logits_rows, scored_rows;
    std::vector<int64_t> table_blocks, prefix_blocks;
  };

  DevicePlacement(const BatchLimits& limits, DeviceQueue& queue, DeviceBuffer arrays,
                  std::vector<DeviceBuffer> staging);

  const PlacedBatch& Place(int slot, const HostArrays& batch, const Room& room);
  void PlaceGroups(const HostArrays& batch, const Room& room);
  // Packs the array, or finds where it was packed: groups share most of theirs.
  template <typename T>
  DeviceArray<const T> Pack(DeviceArray<const T> array, int64_t room);
  struct Packed {
    const void* host;
    size_t offset;
    size_t bytes;
  };

  const BatchLimits limits_;
  DeviceQueue& queue_;
  DeviceBuffer arrays_;
  std::vector<DeviceBuffer> staging_;  // a slot's
  std::vector<size_t> group_order_;    // by size of their tables: the largest are the last arrays
  Room room_;                          // scratch of Place
  char* host_ = nullptr;               // staging memory of the batch at hand
  std::vector<Packed> packed_;
  size_t used_ = 0;    // bytes given out
  size_t filled_ = 0;  // bytes up to the last that means something
  PlacedBatch placed_;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_CUDA_DEVICE_PLACEMENT_H_
