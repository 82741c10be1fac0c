#include "core/cuda/emulation/emulated_memory.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/allocation_bytes.h"
#include "core/check.h"
#include "core/cuda/emulation/global_buffer.h"
#include "core/cuda/emulation/global_memory.h"

namespace quire::emulation {

absl::StatusOr<DeviceBuffer> EmulatedMemory::Allocate(size_t bytes, absl::string_view purpose) {
  ++allocations_;
  if (bytes == 0) return DeviceBuffer();
  if (AllocationBytes(bytes) > AvailableBytes()) {
    return absl::ResourceExhaustedError(absl::StrCat(purpose, " needs ", bytes, " bytes; ",
                                                     AvailableBytes(), " of ", budget_bytes_,
                                                     " are left"));
  }
  const auto buffer =
      std::make_shared<GlobalBuffer<char>>(std::string(purpose), std::vector<char>(bytes, 0));
  plan_.Add(purpose, AllocationBytes(bytes));
  return DeviceBuffer(buffer->data(), bytes,
                      [this, buffer, line = std::string(purpose)](void* /*data*/, size_t used) {
                        if (queue_ != nullptr) queue_->Wait();
                        plan_.Remove(line, AllocationBytes(used));
                      });
}

void EmulatedMemory::CopyFromHost(void* device, const void* host, size_t bytes) {
  if (bytes == 0) return;
  if (queue_ != nullptr) queue_->Wait();
  const std::string fault = GlobalRegion::Write(device, static_cast<int64_t>(bytes));
  QUIRE_CHECK(fault.empty()) << "a copy to the device " << fault;
  std::memcpy(device, host, bytes);
}

}  // namespace quire::emulation
