// A DeviceQueue whose kernels run on the host, each within the call that launches it.
#ifndef QUIRE_CORE_CUDA_EMULATION_EMULATED_QUEUE_H_
#define QUIRE_CORE_CUDA_EMULATION_EMULATED_QUEUE_H_

#include <cstddef>

#include "absl/status/status.h"
#include "core/cuda/device_queue.h"
#include "core/cuda/emulation/launcher.h"

namespace quire::emulation {

// A fault ends the process with its text, as one on the device would.
class EmulatedQueue : public DeviceQueue {
 public:
  explicit EmulatedQueue(const EmulationOptions& options = {}) : launcher_(options) {}

  EmulatedLauncher& launcher() { return launcher_; }
  const absl::Status& status() const { return launcher_.status(); }

  // Both check the device's side as a kernel's accesses are.
  void CopyToDevice(void* device, const void* host, size_t bytes) override;
  void CopyToHost(void* host, const void* device, size_t bytes) override;
  void Wait() override;

 private:
  EmulatedLauncher launcher_;
};

}  // namespace quire::emulation

#endif  // QUIRE_CORE_CUDA_EMULATION_EMULATED_QUEUE_H_
