#include "core/cpu/memory_limits.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/cpu/control_groups.h"

namespace quire {
namespace {

namespace fs = std::filesystem;

// Version 1 writes "no limit" as the largest page-aligned int64; no machine has half of that.
constexpr uint64_t kNoLimit = uint64_t{1} << 62;

// Names of the files of one version of control groups.
struct GroupFiles {
  const char* limit;
  const char* usage;
  const char* reclaimable;  // a key of memory.stat
};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", "inactive_file"};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes",
                                  "total_inactive_file"};

std::optional<uint64_t> ReadNumber(const fs::path& file) {
  std::ifstream in(file);
  std::string text;
  uint64_t value = 0;
  if (!(in >> text) || !absl::SimpleAtoi(text, &value)) return std::nullopt;  // "max" is none too
  return value;
}

// The number after `key` at the start of a line.
std::optional<uint64_t> ReadKey(const fs::path& file, const std::string& key) {
  std::ifstream in(file);
  std::string word;
  uint64_t value = 0;
  std::string rest;
  while (in >> word) {
    if (word == key && in >> value) return value;
    std::getline(in, rest);
  }
  return std::nullopt;
}

// What one group leaves.
std::optional<size_t> GroupBytes(const fs::path& directory, const GroupFiles& files) {
  const std::optional<uint64_t> limit = ReadNumber(directory / files.limit);
  const std::optional<uint64_t> usage = ReadNumber(directory / files.usage);
  if (!limit || !usage || *limit >= kNoLimit) return std::nullopt;
  const uint64_t reclaimable = ReadKey(directory / "memory.stat", files.reclaimable).value_or(0);
  const uint64_t held = *usage - std::min(*usage, reclaimable);
  return *limit - std::min(*limit, held);
}

}  // namespace

size_t MemoryLimits::available_bytes() const {
  return std::min(machine_bytes, cgroup_bytes.value_or(machine_bytes));
}

std::string MemoryLimits::Describe() const {
  std::string text = absl::StrCat(machine_bytes, " bytes free in the machine");
  if (cgroup_bytes) absl::StrAppend(&text, ", ", *cgroup_bytes, " under the control group's limit");
  return text;
}

MemoryLimits ReadMemoryLimits(const std::string& root) {
  MemoryLimits limits;
  const fs::path base(root);
  limits.machine_bytes =
      ReadKey(base / "proc/meminfo", "MemAvailable:").value_or(0) * 1024;  // the file's unit is kB
  ForEachControlGroup(root, "memory", [&](const fs::path& directory, int version) {
    const auto bytes = GroupBytes(directory, version == 2 ? kVersion2 : kVersion1);
    if (bytes) limits.cgroup_bytes = std::min(*bytes, limits.cgroup_bytes.value_or(*bytes));
  });
  return limits;
}

}  // namespace quire
