#include "kvcache/block_pool.h"

#include "core/check.h"

namespace quire {

BlockPool::BlockPool(int32_t num_blocks) : blocks_(num_blocks) {
  QUIRE_CHECK_GT(num_blocks, 0);
  free_.reserve(num_blocks);
  for (int32_t index = num_blocks - 1; index >= 0; --index) free_.push_back(index);
}

BlockPool::Block& BlockPool::At(BlockId block) {
  QUIRE_CHECK_GE(block.value(), 0);
  QUIRE_CHECK_LT(block.value(), num_blocks());
  return blocks_[block.value()];
}

const BlockPool::Block& BlockPool::At(BlockId block) const {
  return const_cast<BlockPool*>(this)->At(block);
}

BlockPool::Taken BlockPool::Take() {
  QUIRE_CHECK_GT(num_available(), 0);
  if (!free_.empty()) {
    const int32_t index = free_.back();
    free_.pop_back();
    blocks_[index].references = 1;
    return {.block = BlockId(index), .evicted = false};
  }
  const int32_t index = oldest_;
  Unlink(index);
  blocks_[index].indexed = false;
  blocks_[index].references = 1;
  return {.block = BlockId(index), .evicted = true};
}

void BlockPool::AddReference(BlockId block) {
  Block& entry = At(block);
  if (entry.references == 0) {
    QUIRE_CHECK(entry.indexed) << "free block " << block << " gained a reference";
    Unlink(block.value());
  }
  ++entry.references;
}

void BlockPool::Release(BlockId block) {
  Block& entry = At(block);
  QUIRE_CHECK_GT(entry.references, 0) << "block " << block;
  if (--entry.references > 0) return;
  if (entry.indexed) {
    PushNewest(block.value());
  } else {
    free_.push_back(block.value());
  }
}

void BlockPool::SetIndexed(BlockId block) {
  Block& entry = At(block);
  QUIRE_CHECK_GT(entry.references, 0) << "block " << block;
  entry.indexed = true;
}

void BlockPool::PushNewest(int32_t index) {
  Block& entry = blocks_[index];
  entry.older = newest_;
  entry.newer = kNone;
  (newest_ == kNone ? oldest_ : blocks_[newest_].newer) = index;
  newest_ = index;
  ++num_cached_;
}

void BlockPool::Unlink(int32_t index) {
  Block& entry = blocks_[index];
  (entry.older == kNone ? oldest_ : blocks_[entry.older].newer) = entry.newer;
  (entry.newer == kNone ? newest_ : blocks_[entry.newer].older) = entry.older;
  entry.older = kNone;
  entry.newer = kNone;
  --num_cached_;
}

void BlockPool::CheckInvariants() const {
  int32_t cached = 0;
  for (int32_t index = oldest_; index != kNone; index = blocks_[index].newer) {
    QUIRE_CHECK_EQ(blocks_[index].references, 0);
    QUIRE_CHECK(blocks_[index].indexed) << "cached block " << index;
    ++cached;
  }
  QUIRE_CHECK_EQ(cached, num_cached_);
  for (int32_t index : free_) {
    QUIRE_CHECK_EQ(blocks_[index].references, 0);
    QUIRE_CHECK(!blocks_[index].indexed) << "free block " << index;
  }
  int32_t referenced = 0;
  for (const Block& block : blocks_) referenced += block.references > 0 ? 1 : 0;
  QUIRE_CHECK_EQ(num_free() + cached + referenced, num_blocks());
}

}  // namespace quire
