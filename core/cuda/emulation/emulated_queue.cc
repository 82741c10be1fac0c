#include "core/cuda/emulation/emulated_queue.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/cuda/emulation/global_memory.h"

namespace quire::emulation {
namespace {

void Write(void* device, const void* host, size_t bytes) {
  const std::string fault = GlobalRegion::Write(device, static_cast<int64_t>(bytes));
  QUIRE_CHECK(fault.empty()) << "a copy to the device " << fault;
  std::memcpy(device, host, bytes);
}

void Read(void* host, const void* device, size_t bytes) {
  const std::string fault = GlobalRegion::Read(device, static_cast<int64_t>(bytes));
  QUIRE_CHECK(fault.empty()) << "a copy to the host " << fault;
  std::memcpy(host, device, bytes);
}

}  // namespace

class EmulatedQueue::Graph : public DeviceGraph {
 public:
  std::vector<Work> work;
};

absl::StatusOr<DeviceBuffer> EmulatedQueue::MakeStaging(size_t bytes) {
  if (bytes == 0) return DeviceBuffer();
  auto* const data = new char[bytes]();
  staging_[data] = bytes;
  return DeviceBuffer(data, bytes, [this](void* buffer, size_t /*bytes*/) {
    staging_.erase(static_cast<char*>(buffer));
    delete[] static_cast<char*>(buffer);
  });
}

bool EmulatedQueue::IsStaging(const void* host, size_t bytes) const {
  const auto* const begin = static_cast<const char*>(host);
  auto found = staging_.upper_bound(begin);
  return found != staging_.begin() && begin + bytes <= (--found)->first + found->second;
}

void EmulatedQueue::CopyToDevice(void* device, const void* host, size_t bytes) {
  if (bytes == 0) return;
  if (IsStaging(host, bytes)) return Add([=] { Write(device, host, bytes); });
  QUIRE_CHECK(recorded_ == nullptr) << "a graph's copy from memory of no MakeStaging";
  const auto* const begin = static_cast<const char*>(host);
  Add([device, now = std::vector<char>(begin, begin + bytes)] {
    Write(device, now.data(), now.size());
  });
}

void EmulatedQueue::CopyToHost(void* host, const void* device, size_t bytes) {
  if (bytes == 0) return;
  QUIRE_CHECK(recorded_ == nullptr || IsStaging(host, bytes))
      << "a graph's copy to memory of no MakeStaging";
  Add([=] { Read(host, device, bytes); });
}

void EmulatedQueue::Add(Work work) {
  if (recorded_ != nullptr) {
    recorded_->work.push_back(std::move(work));
  } else {
    pending_.push_back(std::move(work));
  }
}

void EmulatedQueue::DoUntil(Mark mark) {
  while (done_ < mark && launcher_.status().ok()) {
    const Work work = std::move(pending_.front());
    pending_.pop_front();
    ++done_;
    work();
  }
}

void EmulatedQueue::Await(Mark mark) {
  QUIRE_CHECK(recorded_ == nullptr) << "a graph waits for nothing";
  DoUntil(mark);
  QUIRE_CHECK(launcher_.status().ok()) << launcher_.status();
}

const absl::Status& EmulatedQueue::Finish() {
  DoUntil(SetMark());
  return launcher_.status();
}

absl::StatusOr<std::unique_ptr<DeviceGraph>> EmulatedQueue::Record(absl::FunctionRef<void()> work) {
  auto graph = std::make_unique<Graph>();
  recorded_ = graph.get();
  work();
  recorded_ = nullptr;
  return graph;
}

void EmulatedQueue::Run(const DeviceGraph& graph) {
  ++graph_runs_;
  for (const Work& work : static_cast<const Graph&>(graph).work) Add(work);
}

}  // namespace quire::emulation
