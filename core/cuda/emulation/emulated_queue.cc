#include "core/cuda/emulation/emulated_queue.h"

#include <cstdint>
#include <cstring>
#include <string>

#include "core/check.h"
#include "core/cuda/emulation/global_memory.h"

namespace quire::emulation {

void EmulatedQueue::CopyToDevice(void* device, const void* host, size_t bytes) {
  if (bytes == 0) return;
  const std::string fault = GlobalRegion::Write(device, static_cast<int64_t>(bytes));
  QUIRE_CHECK(fault.empty()) << "a copy to the device " << fault;
  std::memcpy(device, host, bytes);
}

void EmulatedQueue::CopyToHost(void* host, const void* device, size_t bytes) {
  if (bytes == 0) return;
  Wait();
  const std::string fault = GlobalRegion::Read(device, static_cast<int64_t>(bytes));
  QUIRE_CHECK(fault.empty()) << "a copy to the host " << fault;
  std::memcpy(host, device, bytes);
}

void EmulatedQueue::Wait() { QUIRE_CHECK(launcher_.status().ok()) << launcher_.status(); }

}  // namespace quire::emulation
