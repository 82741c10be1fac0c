// The arrays of a batch in the memory of a CUDA device.
#ifndef QUIRE_ENGINE_CUDA_DEVICE_PLACEMENT_H_
#define QUIRE_ENGINE_CUDA_DEVICE_PLACEMENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"
#include "engine/executor.h"

namespace quire {

// Packs the arrays into one buffer and copies it once a batch, behind the queue's work so far.
class DevicePlacement : public BatchPlacement {
 public:
  // RESOURCE_EXHAUSTED when memory ends. `queue` and `memory` outlive it.
  static absl::StatusOr<std::unique_ptr<DevicePlacement>> Create(const BatchLimits& limits,
                                                                 DeviceQueue& queue,
                                                                 DeviceMemory& memory);
  static size_t Bytes(const BatchLimits& limits);

  const ModelBatch& Place(const ModelBatch& batch) override;
  DeviceArray<const int32_t> PlaceRows(absl::Span<const int32_t> rows) override;

 private:
  DevicePlacement(DeviceQueue& queue, DeviceBuffer arrays, DeviceBuffer rows)
      : queue_(queue),
        arrays_(std::move(arrays)),
        rows_(std::move(rows)),
        staging_(arrays_.bytes()),
        staged_rows_(rows_.bytes() / sizeof(int32_t)) {}

  // Packs the array, or finds where it was packed: groups share most of theirs.
  template <typename T>
  DeviceArray<const T> Pack(DeviceArray<const T> array);
  struct Packed {
    const void* host;
    size_t offset;
    size_t bytes;
  };

  DeviceQueue& queue_;
  DeviceBuffer arrays_;
  DeviceBuffer rows_;
  std::vector<char> staging_;
  std::vector<int32_t> staged_rows_;
  std::vector<Packed> packed_;
  size_t used_ = 0;  // bytes of staging_
  ModelBatch batch_;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_CUDA_DEVICE_PLACEMENT_H_
