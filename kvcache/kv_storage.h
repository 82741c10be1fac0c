// The device half of the KV cache: the pages of every layer, taken at start.
#ifndef QUIRE_KVCACHE_KV_STORAGE_H_
#define QUIRE_KVCACHE_KV_STORAGE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/device_memory.h"
#include "kvcache/kv_layout.h"

namespace quire {

// Layers that share a pool: one page id names a page in each of them.
struct KvGroupStorage {
  KvPageLayout layout;
  int num_layers = 0;
  int32_t num_blocks = 0;      // that sequences take and give back
  int32_t shared_blocks = 0;   // beyond them: what the model itself keeps for all sequences
  int32_t padding_blocks = 0;  // beyond these: of rows that belong to no sequence

  int64_t total_blocks() const { return int64_t{num_blocks} + shared_blocks + padding_blocks; }
  // Bytes of one block: its pages in all layers.
  size_t block_bytes() const { return layout.page_bytes() * num_layers; }
};

class KvStorage {
 public:
  static absl::StatusOr<std::unique_ptr<KvStorage>> Create(
      const std::vector<KvGroupStorage>& groups, DeviceMemory& memory);

  // What Create takes.
  static size_t Bytes(const std::vector<KvGroupStorage>& groups);

  int num_groups() const { return static_cast<int>(groups_.size()); }
  const KvGroupStorage& group(int group) const { return groups_[group]; }
  // `layer` counts the group's own layers.
  PagedKvView View(int group, int layer) const;

 private:
  KvStorage() = default;

  std::vector<KvGroupStorage> groups_;
  std::vector<DeviceBuffer> pages_;  // per group: [num_layers, total_blocks, page_bytes]
};

}  // namespace quire

#endif  // QUIRE_KVCACHE_KV_STORAGE_H_
