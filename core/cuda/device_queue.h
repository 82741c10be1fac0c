// An order of work on a CUDA device: launch functions (ops/cuda/launch_kernels.h) and copies take
// one. CudaStream is the device's; tests put the emulation's in its place
// (core/cuda/emulation/emulated_queue.h), so that what is above the kernels runs without a GPU too.
#ifndef QUIRE_CORE_CUDA_DEVICE_QUEUE_H_
#define QUIRE_CORE_CUDA_DEVICE_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/device_memory.h"

namespace quire {

// Work that was recorded once, to be done again and again. Doesn't outlive its queue.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
};

// One thread at a time.
class DeviceQueue {
 public:
  // A point in the order of work.
  using Mark = uint64_t;

  virtual ~DeviceQueue() = default;

  // Host memory that copies read and write in their turn, while the host goes on: zeroed. Doesn't
  // outlive the queue. RESOURCE_EXHAUSTED where there is none.
  virtual absl::StatusOr<DeviceBuffer> MakeStaging(size_t bytes) = 0;

  // Copies behind the work so far. Host memory of MakeStaging is read when the copy's turn comes,
  // and not to be written before; any other is read before this returns.
  virtual void CopyToDevice(void* device, const void* host, size_t bytes) = 0;
  // Whole once work up to here has been waited for.
  virtual void CopyToHost(void* host, const void* device, size_t bytes) = 0;

  // Behind the work so far.
  virtual Mark SetMark() = 0;
  // Until the work before the mark is done. Faults of its kernels show here.
  virtual void Await(Mark mark) = 0;
  void Wait() { Await(SetMark()); }

  // What `work` gives to this queue: launches, and copies with memory of MakeStaging. It is not
  // done yet; the launches keep their arguments. RESOURCE_EXHAUSTED when memory ends.
  virtual absl::StatusOr<std::unique_ptr<DeviceGraph>> Record(absl::FunctionRef<void()> work) = 0;
  virtual void Run(const DeviceGraph& graph) = 0;
};

}  // namespace quire

#endif  // QUIRE_CORE_CUDA_DEVICE_QUEUE_H_
