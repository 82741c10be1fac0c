#include "core/cpu/host_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/ceil_div.h"
#include "core/cpu/memory_limits.h"

namespace quire {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;
// Pages that one task makes present: long against a fork, short against a whole buffer.
constexpr size_t kPopulateBytes = size_t{16} << 20;

constexpr size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Address space of `bytes` (a multiple of `alignment`), or null.
char* MapAligned(size_t bytes, size_t alignment) {
  const size_t slack = alignment - kPage;
  void* mapped =
      ::mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(mapped);
  const size_t head =
      RoundUp(reinterpret_cast<uintptr_t>(begin), alignment) - reinterpret_cast<uintptr_t>(begin);
  if (head > 0) ::munmap(begin, head);
  if (slack > head) ::munmap(begin + head + bytes, slack - head);
  return begin + head;
}

void PopulateRange(char* data, size_t bytes) {
  if (::madvise(data, bytes, MADV_POPULATE_WRITE) == 0) return;
  // Kernels before 5.14: fault each page by a write of what it holds.
  for (size_t at = 0; at < bytes; at += kPage) static_cast<volatile char*>(data)[at] = 0;
}

}  // namespace

absl::StatusOr<DeviceBuffer> HostMemory::Allocate(size_t bytes, absl::string_view purpose) {
  if (bytes == 0) return DeviceBuffer();
  const bool huge = bytes >= kHugePage;
  const size_t mapped_bytes = RoundUp(bytes, huge ? kHugePage : kPage);
  // A small buffer is not worth the reading of /proc; mmap refuses it when memory is out.
  if (huge && mapped_bytes > AvailableBytes()) return OutOfMemory(bytes, purpose);
  char* data = MapAligned(mapped_bytes, huge ? kHugePage : kPage);
  if (data == nullptr) return OutOfMemory(bytes, purpose);
  if (huge) ::madvise(data, mapped_bytes, MADV_HUGEPAGE);
  Populate(data, mapped_bytes);
  plan_.Add(purpose, bytes);
  return DeviceBuffer(data, bytes,
                      [this, line = std::string(purpose), mapped_bytes](void* buffer, size_t used) {
                        ::munmap(buffer, mapped_bytes);
                        plan_.Remove(line, used);
                      });
}

void HostMemory::Populate(char* data, size_t bytes) {
  const auto tasks = CeilDiv(static_cast<int64_t>(bytes), static_cast<int64_t>(kPopulateBytes));
  pool_.ParallelFor(tasks, [&](int64_t task, int /*thread*/) {
    const size_t begin = static_cast<size_t>(task) * kPopulateBytes;
    PopulateRange(data + begin, std::min(kPopulateBytes, bytes - begin));
  });
}

void HostMemory::CopyFromHost(void* device, const void* host, size_t bytes) {
  std::memcpy(device, host, bytes);
}

size_t HostMemory::AvailableBytes() const { return ReadMemoryLimits().available_bytes(); }

absl::Status HostMemory::OutOfMemory(size_t bytes, absl::string_view purpose) const {
  return absl::ResourceExhaustedError(absl::StrCat(purpose, " needs ", bytes, " bytes; there are ",
                                                   ReadMemoryLimits().Describe(),
                                                   "; already taken: ", plan_.Describe()));
}

}  // namespace quire
