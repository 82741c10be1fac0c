// Finds cached blocks by what they contain.
//
// A node stands for one full block of tokens behind one exact prefix, named by its chained hash;
// each KV group may hold a block with the node's keys and values, or not (evicted, or left the
// window). A hit compares the tokens and the parent's hash too, so that a block is never taken for
// another's. Allocates in its constructor only.
#ifndef QUIRE_KVCACHE_PREFIX_INDEX_H_
#define QUIRE_KVCACHE_PREFIX_INDEX_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "core/ids.h"
#include "kvcache/block_hash.h"

namespace quire {

class PrefixIndex {
 public:
  static constexpr int32_t kNoNode = -1;

  // group_blocks: the number of blocks of each group's pool.
  PrefixIndex(absl::Span<const int32_t> group_blocks, int block_tokens);

  // The node of `hash`, or kNoNode; never one with another parent or other tokens.
  int32_t Find(const Hash128& hash, const Hash128& parent, absl::Span<const TokenId> tokens) const;

  bool Holds(int32_t node, int group) const { return BlockOf(node, group).value() >= 0; }
  BlockId BlockOf(int32_t node, int group) const { return blocks_[node * num_groups_ + group]; }

  // Lets `group` find `block` under the node, which is made where needed. False, and nothing
  // changes, when the group holds a block for it already or the hash belongs to other tokens.
  bool Insert(const Hash128& hash, const Hash128& parent, absl::Span<const TokenId> tokens,
              int group, BlockId block);

  // Forgets an evicted block; its node goes with its last block.
  void Erase(int group, BlockId block);

  // Node of an indexed block; CHECKs that there is one.
  int32_t NodeOf(int group, BlockId block) const;

 private:
  struct Node {
    Hash128 hash;
    Hash128 parent;
    int32_t num_blocks = 0;  // groups that hold one
  };
  absl::Span<TokenId> Tokens(int32_t node) {
    return absl::MakeSpan(&tokens_[int64_t{node} * block_tokens_], block_tokens_);
  }

  int num_groups_;
  int block_tokens_;
  absl::flat_hash_map<Hash128, int32_t> by_hash_;
  std::vector<Node> nodes_;
  std::vector<int32_t> free_nodes_;
  std::vector<TokenId> tokens_;                // [max_nodes, B]
  std::vector<BlockId> blocks_;                // [max_nodes, num_groups]
  std::vector<std::vector<int32_t>> node_of_;  // [num_groups][num_blocks]
};

}  // namespace quire

#endif  // QUIRE_KVCACHE_PREFIX_INDEX_H_
