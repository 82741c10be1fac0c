// The control groups that this process is in: what containers limit it with.
#ifndef QUIRE_CORE_CPU_CONTROL_GROUPS_H_
#define QUIRE_CORE_CPU_CONTROL_GROUPS_H_

#include <filesystem>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace quire {

// Calls visit(directory, version) with the directory in /sys/fs/cgroup of each group, from the
// process's own up to the mount, that `controller` ("memory", "cpu") rules: version 1 or 2. /proc
// and /sys are looked for under `root`.
void ForEachControlGroup(
    const std::string& root, absl::string_view controller,
    absl::FunctionRef<void(const std::filesystem::path& directory, int version)> visit);

}  // namespace quire

#endif  // QUIRE_CORE_CPU_CONTROL_GROUPS_H_
