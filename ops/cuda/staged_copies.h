// Copies from host memory to the device, of which one part is on its way while the host writes the
// next.
#ifndef QUIRE_OPS_CUDA_STAGED_COPIES_H_
#define QUIRE_OPS_CUDA_STAGED_COPIES_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/cuda/device_queue.h"
#include "core/device_memory.h"

namespace quire {

// Two buffers of staging memory take turns: many small parts share one, a large part takes several
// turns. The memory is there from the first part until Finish.
class StagedCopies {
 public:
  // Of buffers of `bytes`, or of what one piece needs where that is more. `queue` outlives it.
  StagedCopies(DeviceQueue& queue, size_t bytes) : queue_(queue), least_bytes_(bytes) {}
  ~StagedCopies() { Finish(); }
  StagedCopies(const StagedCopies&) = delete;
  StagedCopies& operator=(const StagedCopies&) = delete;

  // Staging memory for the next `count` pieces, aligned to 64 bytes; what was there is unspecified.
  struct Room {
    char* data = nullptr;
    int64_t count = 0;
  };
  // For up to `count` pieces of `piece_bytes`, and for one at least. Waits for a buffer that is
  // still on its way. RESOURCE_EXHAUSTED when staging memory ends.
  absl::StatusOr<Room> Take(size_t piece_bytes, int64_t count);
  // What the host has written into the room goes to `device`, behind the queue's work so far.
  void Send(void* device, const Room& room);

  // Take and Send of host memory, which isn't read any more when it returns.
  absl::Status Copy(void* device, const void* host, size_t bytes);

  // Everything that was sent is there; the staging memory is given back.
  void Finish();

 private:
  struct Buffer {
    DeviceBuffer memory;
    DeviceQueue::Mark sent = 0;  // what it held has been read by then
  };

  absl::Status MakeBuffers(size_t bytes);
  size_t capacity() const { return buffers_[0].memory.bytes(); }
  void Turn();

  DeviceQueue& queue_;
  const size_t least_bytes_;
  std::array<Buffer, 2> buffers_;
  size_t current_ = 0;
  size_t used_ = 0;         // bytes of the current buffer
  size_t piece_bytes_ = 0;  // of the last Take
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_STAGED_COPIES_H_
