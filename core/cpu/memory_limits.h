// How much memory this process can still take: the machine's, and its control group's.
#ifndef QUIRE_CORE_CPU_MEMORY_LIMITS_H_
#define QUIRE_CORE_CPU_MEMORY_LIMITS_H_

#include <cstddef>
#include <optional>
#include <string>

namespace quire {

struct MemoryLimits {
  size_t machine_bytes = 0;            // MemAvailable of /proc/meminfo
  std::optional<size_t> cgroup_bytes;  // what the tightest control group leaves, if one limits

  size_t available_bytes() const;
  // "12345 bytes free in the machine, 678 under the control group's limit"
  std::string Describe() const;
};

// Reads /proc and /sys/fs/cgroup (version 2 and version 1) under `root`, "/" but in tests. File
// cache that the kernel would drop first (inactive_file) counts as free in a group, as it does in
// MemAvailable.
MemoryLimits ReadMemoryLimits(const std::string& root = "/");

}  // namespace quire

#endif  // QUIRE_CORE_CPU_MEMORY_LIMITS_H_
