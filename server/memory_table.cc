#include "server/memory_table.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace quire {
namespace {

std::string GroupText(const KvGroupConfig& group, int block_tokens) {
  return absl::StrFormat("%d blocks of %d tokens: %d tokens", group.num_blocks, block_tokens,
                         int64_t{group.num_blocks} * block_tokens);
}

std::string KindText(const KvGroupConfig& group) {
  if (group.window == 0) return "full attention";
  if (group.sinks == 0) return absl::StrCat("window ", group.window);
  return absl::StrCat("window ", group.window, " and ", group.sinks, " sinks");
}

}  // namespace

std::vector<std::string> FormatMemoryTable(const MemoryBudget& budget, const KvManagerConfig& kv) {
  const bool is_large = budget.total() >= size_t{1} << 30;
  const double unit = is_large ? 0x1p30 : 0x1p20;
  std::vector<std::string> lines = {absl::StrFormat("memory      %8s", is_large ? "GiB" : "MiB")};
  const auto add = [&](const char* what, size_t bytes, const std::string& more) {
    lines.push_back(absl::StrFormat("  %-11s%7.2f%s%s", what, static_cast<double>(bytes) / unit,
                                    more.empty() ? "" : "  ", more));
  };
  add("weights", budget.weights, "");
  add("activations", budget.activations, "");
  add("rope tables", budget.rope_tables, "");
  add("workspace", budget.workspace, "");
  add("KV cache", budget.kv_cache,
      kv.groups.size() == 1 ? GroupText(kv.groups[0], kv.block_tokens) : "");
  for (const KvGroupConfig& group : kv.groups) {
    if (kv.groups.size() == 1) break;
    lines.push_back(absl::StrCat("    ", KindText(group), ": ", GroupText(group, kv.block_tokens)));
  }
  if (budget.reserve > 0) add("reserve", budget.reserve, "");
  std::string limit = absl::StrFormat("of %.2f", static_cast<double>(budget.limit) / unit);
  if (budget.gpu_memory_fraction) {
    absl::StrAppendFormat(&limit, " (--gpu-memory-fraction %.2f)", *budget.gpu_memory_fraction);
  }
  add("total", budget.total(), limit);
  return lines;
}

}  // namespace quire
