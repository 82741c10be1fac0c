#include "core/cpu/control_groups.h"

#include <algorithm>
#include <fstream>
#include <vector>

#include "absl/strings/str_split.h"

namespace quire {

void ForEachControlGroup(
    const std::string& root, absl::string_view controller,
    absl::FunctionRef<void(const std::filesystem::path& directory, int version)> visit) {
  const std::filesystem::path base(root);
  // A line is "id:controllers:path"; version 2 has id 0 and no controllers.
  std::ifstream groups(base / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const int version = fields[0] == "0" ? 2 : 1;
    std::filesystem::path mount = base / "sys/fs/cgroup";
    if (version == 1) {
      const std::vector<absl::string_view> controllers = absl::StrSplit(fields[1], ',');
      if (std::find(controllers.begin(), controllers.end(), controller) == controllers.end()) {
        continue;
      }
      mount /= std::string(controller);
    }
    std::filesystem::path relative = std::filesystem::path(fields[2]).relative_path();
    for (;;) {
      visit(mount / relative, version);
      if (relative.empty()) break;
      relative = relative.parent_path();
    }
  }
}

}  // namespace quire
