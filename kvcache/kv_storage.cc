#include "kvcache/kv_storage.h"

#include "core/allocation_bytes.h"
#include "core/check.h"
#include "core/status_macros.h"

namespace quire {

absl::StatusOr<std::unique_ptr<KvStorage>> KvStorage::Create(
    const std::vector<KvGroupStorage>& groups, DeviceMemory& memory) {
  std::unique_ptr<KvStorage> storage(new KvStorage);
  storage->groups_ = groups;
  for (const KvGroupStorage& group : groups) {
    QUIRE_ASSIGN_OR_RETURN(DeviceBuffer pages,
                           memory.Allocate(group.block_bytes() * group.total_blocks(), "kv cache"));
    storage->pages_.push_back(std::move(pages));
  }
  return storage;
}

size_t KvStorage::Bytes(const std::vector<KvGroupStorage>& groups) {
  size_t bytes = 0;
  for (const KvGroupStorage& group : groups) {
    bytes += AllocationBytes(group.block_bytes() * group.total_blocks());
  }
  return bytes;
}

PagedKvView KvStorage::View(int group, int layer) const {
  const KvGroupStorage& held = groups_[group];
  QUIRE_CHECK_GE(layer, 0);
  QUIRE_CHECK_LT(layer, held.num_layers);
  const size_t page_bytes = held.layout.page_bytes();
  char* base = static_cast<char*>(pages_[group].data());
  return {.base = base + page_bytes * held.total_blocks() * layer,
          .page_stride_bytes = static_cast<int64_t>(page_bytes),
          .num_blocks = held.total_blocks(),
          .layout = held.layout};
}

}  // namespace quire
