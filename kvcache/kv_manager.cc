#include "kvcache/kv_manager.h"

#include <algorithm>
#include <limits>

#include "core/ceil_div.h"
#include "core/check.h"

namespace quire {
namespace {

std::vector<int32_t> GroupBlocks(const KvManagerConfig& config) {
  std::vector<int32_t> blocks;
  for (const KvGroupConfig& group : config.groups) blocks.push_back(group.num_blocks);
  return blocks;
}

}  // namespace

KvManager::KvManager(const KvManagerConfig& config)
    : config_(config),
      index_(GroupBlocks(config), config.block_tokens),
      block_tokens_(config.block_tokens) {
  QUIRE_CHECK_GT(config.block_tokens, 0);
  int64_t total = 0;
  for (const KvGroupConfig& group : config.groups) {
    pools_.emplace_back(group.num_blocks);
    last_named_.emplace_back(group.num_blocks);
    total += group.num_blocks;
  }
  pending_.reserve(total);
}

int64_t KvManager::MaxSequenceTokens() const {
  int64_t tokens = std::numeric_limits<int64_t>::max();
  for (const KvGroupConfig& group : config_.groups) {
    if (group.window == 0) {
      tokens = std::min(tokens, int64_t{group.num_blocks} * config_.block_tokens);
    }
  }
  return tokens;
}

SequenceKv KvManager::NewSequence(absl::string_view tenant, absl::string_view cache_salt,
                                  absl::string_view rope, bool publishes) const {
  SequenceKv kv;
  kv.tables.resize(num_groups());
  for (int group = 0; group < num_groups(); ++group) kv.tables[group].kept = SinkBlocks(group);
  kv.chain.push_back(RootHash(config_.hash_key, tenant, cache_salt, rope));
  kv.publishes = publishes;
  return kv;
}

absl::Span<const TokenId> KvManager::BlockTokens(int64_t block, TokenAt token) const {
  for (int i = 0; i < config_.block_tokens; ++i) {
    block_tokens_[i] = token(block * config_.block_tokens + i);
  }
  return block_tokens_;
}

void KvManager::ExtendChain(SequenceKv& kv, int64_t num_tokens, TokenAt token) const {
  const int64_t full_blocks = num_tokens / config_.block_tokens;
  for (int64_t block = static_cast<int64_t>(kv.chain.size()) - 1; block < full_blocks; ++block) {
    kv.chain.push_back(BlockHash(config_.hash_key, kv.chain.back(), BlockTokens(block, token)));
  }
}

int32_t KvManager::FirstVisibleBlock(int group, int64_t position) const {
  const int32_t window = config_.groups[group].window;
  if (window == 0) return 0;
  return static_cast<int32_t>(std::max<int64_t>(0, position - window + 1) / config_.block_tokens);
}

int32_t KvManager::SinkBlocks(int group) const {
  return static_cast<int32_t>(
      CeilDiv(int64_t{config_.groups[group].sinks}, int64_t{config_.block_tokens}));
}

bool KvManager::Sees(int group, int64_t position, int32_t block) const {
  return block < SinkBlocks(group) || block >= FirstVisibleBlock(group, position);
}

PrefixHit KvManager::Match(const SequenceKv& kv, int32_t max_blocks, TokenAt token) const {
  max_blocks = std::min(max_blocks, static_cast<int32_t>(kv.chain.size()) - 1);
  if (pools_.empty()) max_blocks = 0;  // nothing is kept that a hit could stand for
  // Nodes up to the first block that some full group lacks.
  PrefixHit hit;
  std::vector<int32_t> nodes;
  for (int32_t block = 0; block < max_blocks; ++block) {
    const int32_t node =
        index_.Find(kv.chain[block + 1], kv.chain[block], BlockTokens(block, token));
    bool full_groups_hold = true;
    for (int group = 0; group < num_groups(); ++group) {
      const bool holds = node != PrefixIndex::kNoNode && index_.Holds(node, group);
      if (config_.groups[group].window == 0 && !holds) full_groups_hold = false;
    }
    if (!full_groups_hold) break;
    nodes.push_back(node);
  }
  // The longest prefix of which each window group still holds what the next row sees.
  const auto windows_hold = [&](int32_t blocks) {
    const int64_t next_position = int64_t{blocks} * config_.block_tokens;
    const auto holds = [&](int32_t block, int group) {
      return nodes[block] != PrefixIndex::kNoNode && index_.Holds(nodes[block], group);
    };
    for (int group = 0; group < num_groups(); ++group) {
      for (int32_t block = std::min(blocks, SinkBlocks(group)); block-- > 0;) {
        if (!holds(block, group)) return false;
      }
      for (int32_t block = FirstVisibleBlock(group, next_position); block < blocks; ++block) {
        if (!holds(block, group)) return false;
      }
    }
    return true;
  };
  hit.blocks = static_cast<int32_t>(nodes.size());
  while (hit.blocks > 0 && !windows_hold(hit.blocks)) --hit.blocks;

  hit.revived.assign(num_groups(), 0);
  hit.held.resize(num_groups());
  for (int group = 0; group < num_groups(); ++group) {
    const int64_t next_position = int64_t{hit.blocks} * config_.block_tokens;
    for (int32_t block = 0; block < hit.blocks; ++block) {
      if (!Sees(group, next_position, block)) continue;
      const BlockId held = index_.BlockOf(nodes[block], group);
      hit.held[group].push_back(held);
      hit.revived[group] += pools_[group].references(held) == 0 ? 1 : 0;
    }
  }
  return hit;
}

void KvManager::TakeHit(SequenceKv& kv, const PrefixHit& hit) {
  for (int group = 0; group < num_groups(); ++group) {
    BlockTable& table = kv.tables[group];
    QUIRE_CHECK(table.blocks.empty());
    table.gone = hit.blocks - static_cast<int32_t>(hit.held[group].size());
    table.blocks = hit.held[group];
    for (BlockId block : table.blocks) pools_[group].AddReference(block);
  }
  kv.published_blocks = hit.blocks;
}

bool KvManager::TailIsShared(const SequenceKv& kv, int group, int64_t begin) const {
  const BlockTable& table = kv.tables[group];
  const auto tail = static_cast<int32_t>(begin / config_.block_tokens);
  if (tail >= table.end_block()) return false;
  return pools_[group].references(table.At(tail)) > 1;
}

GroupCounts KvManager::BlocksNeeded(const SequenceKv& kv, int64_t begin, int64_t end,
                                    int64_t full_end) const {
  QUIRE_CHECK_LE(end, full_end);
  GroupCounts needed(num_groups(), 0);
  for (int group = 0; group < num_groups(); ++group) {
    const int64_t cover = config_.groups[group].window == 0 ? full_end : end;
    const auto end_block =
        static_cast<int32_t>((cover + config_.block_tokens - 1) / config_.block_tokens);
    needed[group] = std::max(0, end_block - kv.tables[group].end_block()) +
                    (TailIsShared(kv, group, begin) ? 1 : 0);
  }
  return needed;
}

BlockId KvManager::Take(int group) {
  const BlockPool::Taken taken = pools_[group].Take();
  if (taken.evicted) index_.Erase(group, taken.block);
  return taken.block;
}

void KvManager::Reserve(SequenceKv& kv, int64_t begin, int64_t end, int64_t full_end, PlanId plan,
                        std::vector<PageCopy>& copies) {
  const GroupCounts needed = BlocksNeeded(kv, begin, end, full_end);
  for (int group = 0; group < num_groups(); ++group) {
    QUIRE_CHECK_LE(needed[group], pools_[group].num_available());
    BlockTable& table = kv.tables[group];
    int32_t to_append = needed[group];
    if (TailIsShared(kv, group, begin)) {
      BlockId& tail = table.At(static_cast<int32_t>(begin / config_.block_tokens));
      const BlockId own = Take(group);
      copies.push_back({.group = group, .source = tail, .target = own});
      PlanId& last_named = last_named_[group][tail.value()];  // the copy reads it
      last_named = std::max(last_named, plan);
      pools_[group].Release(tail);  // others hold it still
      tail = own;
      --to_append;
    }
    for (; to_append > 0; --to_append) table.blocks.push_back(Take(group));
  }
}

void KvManager::Fork(const SequenceKv& parent, SequenceKv& child) {
  child.tables = parent.tables;
  child.chain = parent.chain;
  child.published_blocks = parent.published_blocks;
  for (int group = 0; group < num_groups(); ++group) {
    for (BlockId block : child.tables[group].blocks) pools_[group].AddReference(block);
  }
}

void KvManager::Publish(SequenceKv& kv, int64_t computed, TokenAt token) {
  const auto full_blocks = static_cast<int32_t>(computed / config_.block_tokens);
  if (!kv.publishes || full_blocks <= kv.published_blocks) return;
  ExtendChain(kv, computed, token);
  for (int32_t block = kv.published_blocks; block < full_blocks; ++block) {
    const absl::Span<const TokenId> tokens = BlockTokens(block, token);
    for (int group = 0; group < num_groups(); ++group) {
      if (kv.tables[group].IsGone(block)) continue;
      const BlockId held = kv.tables[group].At(block);
      if (pools_[group].indexed(held)) continue;
      if (index_.Insert(kv.chain[block + 1], kv.chain[block], tokens, group, held)) {
        pools_[group].SetIndexed(held);
      }
    }
  }
  kv.published_blocks = full_blocks;
}

void KvManager::Release(int group, BlockId block, PlanId plan) {
  PlanId& last_named = last_named_[group][block.value()];
  last_named = std::max(last_named, plan);
  if (pools_[group].references(block) == 1 && last_named > last_committed_) {
    pending_.push_back({.group = group, .block = block});
  } else {
    pools_[group].Release(block);
  }
}

void KvManager::ReleaseBehindWindow(SequenceKv& kv, int64_t next_position, PlanId plan) {
  for (int group = 0; group < num_groups(); ++group) {
    BlockTable& table = kv.tables[group];
    const int32_t keep_from = std::min(FirstVisibleBlock(group, next_position), table.end_block());
    const int32_t leaving = keep_from - table.kept - table.gone;
    if (leaving <= 0) continue;
    const auto first = table.blocks.begin() + table.kept;
    for (auto block = first; block != first + leaving; ++block) Release(group, *block, plan);
    table.blocks.erase(first, first + leaving);
    table.gone += leaving;
  }
}

void KvManager::ReleaseAll(SequenceKv& kv, PlanId plan) {
  for (int group = 0; group < num_groups(); ++group) {
    BlockTable& table = kv.tables[group];
    // Last block first: the tail of a prefix is evicted before what it builds on.
    for (auto block = table.blocks.rbegin(); block != table.blocks.rend(); ++block) {
      Release(group, *block, plan);
    }
    table.blocks.clear();
    table.gone = 0;
  }
  kv.published_blocks = 0;
}

void KvManager::CommitPlan(PlanId plan) {
  QUIRE_CHECK_GT(plan, last_committed_);
  last_committed_ = plan;
  size_t kept = 0;
  for (size_t i = 0; i < pending_.size(); ++i) {
    // A later plan may have come to name the block since it was released.
    const auto [group, block] = pending_[i];
    if (last_named_[group][block.value()] <= plan) {
      pools_[group].Release(block);
    } else {
      pending_[kept++] = pending_[i];
    }
  }
  pending_.resize(kept);
}

GroupCounts KvManager::Releasing() const {
  GroupCounts counts(num_groups(), 0);
  for (const PendingRelease& pending : pending_) {
    counts[pending.group] += pools_[pending.group].references(pending.block) == 1 ? 1 : 0;
  }
  return counts;
}

void KvManager::CheckInvariants(absl::Span<const SequenceKv* const> live) const {
  for (int group = 0; group < num_groups(); ++group) {
    pools_[group].CheckInvariants();
    std::vector<int32_t> references(pools_[group].num_blocks(), 0);
    for (const SequenceKv* kv : live) {
      for (BlockId block : kv->tables[group].blocks) ++references[block.value()];
    }
    for (const PendingRelease& pending : pending_) {
      if (pending.group == group) ++references[pending.block.value()];
    }
    for (int32_t block = 0; block < pools_[group].num_blocks(); ++block) {
      QUIRE_CHECK_EQ(references[block], pools_[group].references(BlockId(block)))
          << "group " << group << " block " << block;
      if (pools_[group].indexed(BlockId(block))) index_.NodeOf(group, BlockId(block));
    }
  }
}

}  // namespace quire
