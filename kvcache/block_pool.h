// The blocks of one KV group: which are free, which are referenced and by how many tables, and
// which hold cached content that nobody references. Knows counts and ids; no memory, no requests.
//
// A block is in exactly one state:
//   free        nobody references it, its content means nothing
//   cached      nobody references it, the prefix index can still find its content; evictable,
//               least recently used first
//   referenced  one reference per table that holds it; may be known to the prefix index as well
// so that free + cached + referenced = num_blocks always. Allocates in its constructor only.
#ifndef QUIRE_KVCACHE_BLOCK_POOL_H_
#define QUIRE_KVCACHE_BLOCK_POOL_H_

#include <cstdint>
#include <vector>

#include "core/ids.h"

namespace quire {

class BlockPool {
 public:
  explicit BlockPool(int32_t num_blocks);

  int32_t num_blocks() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t num_free() const { return static_cast<int32_t>(free_.size()); }
  int32_t num_cached() const { return num_cached_; }
  int32_t num_referenced() const { return num_blocks() - num_free() - num_cached(); }
  // Blocks that Take() can still give.
  int32_t num_available() const { return num_free() + num_cached(); }

  struct Taken {
    BlockId block;
    bool evicted = false;  // it was cached: its index entry must go before its content does
  };
  // Takes a block with one reference: a free one, else the least recently used cached one.
  // CHECKs that one is available.
  Taken Take();

  void AddReference(BlockId block);  // also revives a cached block
  // Drops one reference. The last one makes the block cached (as the most recently used) if the
  // index knows it, else free.
  void Release(BlockId block);

  // Whether the prefix index knows the block's content. Only a referenced block becomes indexed.
  void SetIndexed(BlockId block);
  bool indexed(BlockId block) const { return At(block).indexed; }
  int32_t references(BlockId block) const { return At(block).references; }

  // Recounts every state from scratch and CHECKs it against the counters.
  void CheckInvariants() const;

 private:
  struct Block {
    int32_t references = 0;
    bool indexed = false;
    // Neighbours in the list of cached blocks, by index; kNone outside it.
    int32_t older = kNone;
    int32_t newer = kNone;
  };
  static constexpr int32_t kNone = -1;

  Block& At(BlockId block);
  const Block& At(BlockId block) const;
  void PushNewest(int32_t index);
  void Unlink(int32_t index);

  std::vector<Block> blocks_;
  std::vector<int32_t> free_;  // a stack
  int32_t oldest_ = kNone;     // ends of the list of cached blocks
  int32_t newest_ = kNone;
  int32_t num_cached_ = 0;
};

}  // namespace quire

#endif  // QUIRE_KVCACHE_BLOCK_POOL_H_
