// Runs kernels on the host: one fibre per CUDA thread, one thread of the machine. For tests.
//
// A kernel's source is compiled by the host's compiler (core/cuda/primitives/target.cuh) and works
// on memory that is a GlobalRegion. A launch ends at the first fault: an access out of bounds, of
// what nobody has written, or without order to another thread's (of shared memory); a barrier or a
// warp collective that not all its threads come to; a copy that is not waited for.
#ifndef QUIRE_CORE_CUDA_EMULATION_LAUNCHER_H_
#define QUIRE_CORE_CUDA_EMULATION_LAUNCHER_H_

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "core/cuda/launch_shape.h"

namespace quire::emulation {

struct EmulationOptions {
  // The order in which threads go on: by their index, or at random from this seed.
  uint32_t seed = 0;
  // Blocks that run side by side. They begin in the order of their index, or at random.
  int resident_blocks = 1;
  bool detect_races = true;
  // Of a block of the device that it plays.
  size_t max_shared_bytes = kMaxSharedBytes;
};

// Runs `thread_body` once per thread of each block. INTERNAL with the first fault.
absl::Status RunGrid(const LaunchShape& shape, const EmulationOptions& options,
                     absl::FunctionRef<void()> thread_body);

// What launch functions (ops/cuda/*.cuh) take, as StreamLauncher is on the device.
class EmulatedLauncher {
 public:
  explicit EmulatedLauncher(const EmulationOptions& options = {}) : options_(options) {}

  template <typename... Params>
  void Launch(const LaunchShape& shape, void (*kernel)(Params...), const Params&... params) {
    if (status_.ok()) status_ = RunGrid(shape, options_, [&] { kernel(params...); });
  }

  size_t max_shared_bytes() const { return options_.max_shared_bytes; }

  // The first fault of all launches; none runs behind it.
  const absl::Status& status() const { return status_; }

 private:
  EmulationOptions options_;
  absl::Status status_;
};

}  // namespace quire::emulation

#endif  // QUIRE_CORE_CUDA_EMULATION_LAUNCHER_H_
