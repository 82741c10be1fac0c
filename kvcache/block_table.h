// The pages of one sequence in one KV group, in order of position.
#ifndef QUIRE_KVCACHE_BLOCK_TABLE_H_
#define QUIRE_KVCACHE_BLOCK_TABLE_H_

#include <cstdint>
#include <vector>

#include "core/check.h"
#include "core/ids.h"

namespace quire {

// Logical block i keeps positions [i * B, (i + 1) * B). Held are [0, end_block) but for those that
// have left the window: [kept, kept + gone).
struct BlockTable {
  int32_t kept = 0;  // logical blocks [0, kept) never leave: they hold the sinks
  int32_t gone = 0;  // 0 while end_block <= kept
  std::vector<BlockId> blocks;

  int32_t end_block() const { return gone + static_cast<int32_t>(blocks.size()); }
  bool IsGone(int32_t logical_block) const {
    return logical_block >= kept && logical_block < kept + gone;
  }

  BlockId& At(int32_t logical_block) {
    QUIRE_CHECK_GE(logical_block, 0);
    QUIRE_CHECK_LT(logical_block, end_block());
    QUIRE_CHECK(!IsGone(logical_block)) << "block " << logical_block;
    return blocks[logical_block < kept ? logical_block : logical_block - gone];
  }
  BlockId At(int32_t logical_block) const {
    return const_cast<BlockTable*>(this)->At(logical_block);
  }
  SlotId Slot(int64_t position, int block_tokens) const {
    const BlockId block = At(static_cast<int32_t>(position / block_tokens));
    return SlotId(int64_t{block.value()} * block_tokens + position % block_tokens);
  }
};

}  // namespace quire

#endif  // QUIRE_KVCACHE_BLOCK_TABLE_H_
