// A DeviceQueue whose work the host does, as late as it may: when somebody waits for it.
#ifndef QUIRE_CORE_CUDA_EMULATION_EMULATED_QUEUE_H_
#define QUIRE_CORE_CUDA_EMULATION_EMULATED_QUEUE_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>

#include "absl/status/status.h"
#include "core/cuda/device_queue.h"
#include "core/cuda/emulation/launcher.h"

namespace quire::emulation {

// A fault ends the process with its text, as one on the device would.
class EmulatedQueue : public DeviceQueue {
 public:
  explicit EmulatedQueue(const EmulationOptions& options = {}) : launcher_(options) {}

  size_t max_shared_bytes() const { return launcher_.max_shared_bytes(); }

  template <typename... Params>
  void Launch(const LaunchShape& shape, void (*kernel)(Params...), const Params&... params) {
    Add([this, shape, kernel, params...] { launcher_.Launch(shape, kernel, params...); });
  }

  absl::StatusOr<DeviceBuffer> MakeStaging(size_t bytes) override;
  // Both check the device's side as a kernel's accesses are.
  void CopyToDevice(void* device, const void* host, size_t bytes) override;
  void CopyToHost(void* host, const void* device, size_t bytes) override;
  Mark SetMark() override { return done_ + pending_.size(); }
  void Await(Mark mark) override;
  absl::StatusOr<std::unique_ptr<DeviceGraph>> Record(absl::FunctionRef<void()> work) override;
  void Run(const DeviceGraph& graph) override;

  int64_t graph_runs() const { return graph_runs_; }

  // Does all work so far, and tells of the first fault.
  const absl::Status& Finish();

 private:
  using Work = std::function<void()>;
  class Graph;

  void Add(Work work);
  void DoUntil(Mark mark);
  bool IsStaging(const void* host, size_t bytes) const;

  EmulatedLauncher launcher_;
  std::deque<Work> pending_;
  Mark done_ = 0;              // pieces of work
  Graph* recorded_ = nullptr;  // what Record records
  std::map<const char*, size_t> staging_;
  int64_t graph_runs_ = 0;
};

}  // namespace quire::emulation

#endif  // QUIRE_CORE_CUDA_EMULATION_EMULATED_QUEUE_H_
