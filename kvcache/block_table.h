// The pages of one sequence in one KV group, in order of position.
#ifndef QUIRE_KVCACHE_BLOCK_TABLE_H_
#define QUIRE_KVCACHE_BLOCK_TABLE_H_

#include <cstdint>
#include <vector>

#include "core/check.h"
#include "core/ids.h"

namespace quire {

// Holds logical blocks [first_block, end_block); logical block i keeps positions
// [i * B, (i + 1) * B). Blocks before first_block have left the window.
struct BlockTable {
  int32_t first_block = 0;
  std::vector<BlockId> blocks;

  int32_t end_block() const { return first_block + static_cast<int32_t>(blocks.size()); }

  BlockId& At(int32_t logical_block) {
    QUIRE_CHECK_GE(logical_block, first_block);
    QUIRE_CHECK_LT(logical_block, end_block());
    return blocks[logical_block - first_block];
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
