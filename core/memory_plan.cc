#include "core/memory_plan.h"

#include "absl/strings/str_cat.h"

namespace quire {

void MemoryPlan::Add(absl::string_view purpose, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (MemoryUse& use : lines_) {
    if (use.purpose == purpose) {
      use.bytes += bytes;
      return;
    }
  }
  lines_.push_back({std::string(purpose), bytes});
}

void MemoryPlan::Remove(absl::string_view purpose, size_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (MemoryUse& use : lines_) {
    if (use.purpose == purpose) use.bytes -= bytes;
  }
}

std::vector<MemoryUse> MemoryPlan::lines() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return lines_;
}

size_t MemoryPlan::total_bytes() const {
  size_t total = 0;
  for (const MemoryUse& use : lines()) total += use.bytes;
  return total;
}

std::string MemoryPlan::Describe() const {
  std::string text;
  for (const MemoryUse& use : lines()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", use.purpose, " ", use.bytes);
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace quire
