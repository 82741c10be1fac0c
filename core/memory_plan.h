// What a device's memory has been given out for.
#ifndef QUIRE_CORE_MEMORY_PLAN_H_
#define QUIRE_CORE_MEMORY_PLAN_H_

#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace quire {

// A line of the memory plan that the server prints and GetServerInfo returns.
struct MemoryUse {
  std::string purpose;
  size_t bytes = 0;
};

// Thread-safe.
class MemoryPlan {
 public:
  void Add(absl::string_view purpose, size_t bytes);
  void Remove(absl::string_view purpose, size_t bytes);
  std::vector<MemoryUse> lines() const;  // in order of first use
  size_t total_bytes() const;
  // "weights 12, kv cache 34", or "nothing"
  std::string Describe() const;

 private:
  mutable std::mutex mutex_;
  std::vector<MemoryUse> lines_;  // guarded by mutex_
};

}  // namespace quire

#endif  // QUIRE_CORE_MEMORY_PLAN_H_
