#include "kvcache/prefix_index.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"

namespace quire {

PrefixIndex::PrefixIndex(absl::Span<const int32_t> group_blocks, int block_tokens)
    : num_groups_(static_cast<int>(group_blocks.size())), block_tokens_(block_tokens) {
  // Every node holds at least one block, so this many suffice.
  const int64_t max_nodes = std::accumulate(group_blocks.begin(), group_blocks.end(), int64_t{0});
  nodes_.resize(max_nodes);
  free_nodes_.resize(max_nodes);
  std::iota(free_nodes_.rbegin(), free_nodes_.rend(), 0);
  tokens_.resize(max_nodes * block_tokens);
  blocks_.resize(max_nodes * num_groups_);
  by_hash_.reserve(2 * max_nodes);
  for (int32_t count : group_blocks) node_of_.emplace_back(count, kNoNode);
}

int32_t PrefixIndex::Find(const Hash128& hash, const Hash128& parent,
                          absl::Span<const TokenId> tokens) const {
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end()) return kNoNode;
  const int32_t node = found->second;
  const absl::Span<const TokenId> stored = const_cast<PrefixIndex*>(this)->Tokens(node);
  if (!(nodes_[node].parent == parent) || stored != tokens) return kNoNode;
  return node;
}

bool PrefixIndex::Insert(const Hash128& hash, const Hash128& parent,
                         absl::Span<const TokenId> tokens, int group, BlockId block) {
  QUIRE_CHECK_EQ(static_cast<int>(tokens.size()), block_tokens_);
  int32_t node = Find(hash, parent, tokens);
  if (node == kNoNode) {
    if (by_hash_.contains(hash)) return false;  // a collision of 128 bits: the first one stays
    QUIRE_CHECK(!free_nodes_.empty());
    node = free_nodes_.back();
    free_nodes_.pop_back();
    nodes_[node] = Node{.hash = hash, .parent = parent, .num_blocks = 0};
    std::copy(tokens.begin(), tokens.end(), Tokens(node).begin());
    by_hash_.emplace(hash, node);
  }
  BlockId& held = blocks_[node * num_groups_ + group];
  if (held.value() >= 0) return false;
  held = block;
  node_of_[group][block.value()] = node;
  ++nodes_[node].num_blocks;
  return true;
}

int32_t PrefixIndex::NodeOf(int group, BlockId block) const {
  const int32_t node = node_of_[group][block.value()];
  QUIRE_CHECK_GE(node, 0) << "group " << group << " block " << block;
  return node;
}

void PrefixIndex::Erase(int group, BlockId block) {
  const int32_t node = NodeOf(group, block);
  node_of_[group][block.value()] = kNoNode;
  blocks_[node * num_groups_ + group] = BlockId();
  if (--nodes_[node].num_blocks > 0) return;
  by_hash_.erase(nodes_[node].hash);
  free_nodes_.push_back(node);
}

}  // namespace quire
