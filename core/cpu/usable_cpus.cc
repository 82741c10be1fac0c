#include "core/cpu/usable_cpus.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/cpu/control_groups.h"

namespace quire {
namespace {

// Microseconds of CPU time in each period of microseconds. Reading fails where there is no quota:
// "max" in version 2, -1 in version 1.
struct Quota {
  double quota = 0;
  double period = 0;
};

Quota ReadQuota(const std::filesystem::path& directory, int version) {
  Quota read;
  if (version == 2) {
    std::ifstream(directory / "cpu.max") >> read.quota >> read.period;
  } else {
    std::ifstream(directory / "cpu.cfs_quota_us") >> read.quota;
    std::ifstream(directory / "cpu.cfs_period_us") >> read.period;
  }
  return read;
}

}  // namespace

int UsableCpus(const std::string& root) {
  cpu_set_t set;
  int cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  ForEachControlGroup(root, "cpu", [&](const std::filesystem::path& directory, int version) {
    const Quota read = ReadQuota(directory, version);
    if (read.quota <= 0 || read.period <= 0) return;
    cpus = std::min(cpus, static_cast<int>(std::ceil(std::min(read.quota / read.period, 1e6))));
  });
  return std::max(1, cpus);
}

}  // namespace quire
