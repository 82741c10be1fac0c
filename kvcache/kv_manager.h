// The host half of the KV cache: the pools of every KV group, the prefix index over them, and what
// sequences do with both. Bookkeeping only; the pages themselves are KvStorage.
//
// Not thread-safe: the engine thread owns it. Nothing here fails: callers ask first
// (BlocksNeeded, num_available), and a broken promise is a CHECK.
#ifndef QUIRE_KVCACHE_KV_MANAGER_H_
#define QUIRE_KVCACHE_KV_MANAGER_H_

#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/ids.h"
#include "kvcache/block_hash.h"
#include "kvcache/block_pool.h"
#include "kvcache/block_table.h"
#include "kvcache/prefix_index.h"

namespace quire {

// Layers of one kind share a group: its pool, its tables, its prefix entries.
struct KvGroupConfig {
  int32_t window = 0;  // a row at position p sees [max(0, p - window + 1), p]; 0 = [0, p]
  int32_t sinks = 0;   // and [0, sinks), of a group with a window
  int32_t num_blocks = 0;
};

struct KvManagerConfig {
  int block_tokens = 0;
  std::vector<KvGroupConfig> groups;  // none: nothing is cached (encoders)
  HashKey hash_key;
};

// One number per KV group.
using GroupCounts = absl::InlinedVector<int32_t, 2>;

// A page that must be copied before the plan's rows are computed.
struct PageCopy {
  int group = 0;
  BlockId source;
  BlockId target;
};

// What one sequence holds. Made by KvManager::NewSequence.
struct SequenceKv {
  std::vector<BlockTable> tables;  // one per group
  std::vector<Hash128> chain;      // chain[0] is the root, chain[i + 1] names full block i
  int32_t published_blocks = 0;    // full blocks [0, n) have been offered to the index
  bool publishes = true;           // false: its blocks never enter the index
};

// A cached prefix that a sequence could start from.
struct PrefixHit {
  int32_t blocks = 0;   // full blocks [0, n) need no computing
  GroupCounts revived;  // per group, unreferenced blocks that taking the hit would use up
  // Per group, those blocks of the hit that the next row sees.
  absl::InlinedVector<std::vector<BlockId>, 2> held;
};

// Reads token i of a sequence.
using TokenAt = absl::FunctionRef<TokenId(int64_t position)>;

class KvManager {
 public:
  explicit KvManager(const KvManagerConfig& config);

  const KvManagerConfig& config() const { return config_; }
  int num_groups() const { return static_cast<int>(pools_.size()); }
  const BlockPool& pool(int group) const { return pools_[group]; }

  // The most tokens that one sequence alone can hold: its full groups' pools. INT64_MAX where all
  // groups have a window.
  int64_t MaxSequenceTokens() const;

  // See RootHash.
  SequenceKv NewSequence(absl::string_view tenant, absl::string_view cache_salt,
                         absl::string_view rope, bool publishes) const;

  // Extends the hash chain over the first num_tokens tokens. Call before Match and Publish.
  void ExtendChain(SequenceKv& kv, int64_t num_tokens, TokenAt token) const;

  // The longest cached prefix of at most max_blocks blocks: each full group holds all its blocks,
  // each window group those that the next row's window reaches.
  PrefixHit Match(const SequenceKv& kv, int32_t max_blocks, TokenAt token) const;
  // Takes the hit's blocks into kv's tables, which are empty. Nothing may have been taken since the
  // hit was matched.
  void TakeHit(SequenceKv& kv, const PrefixHit& hit);

  // Per group, the blocks to take so that rows [begin, end) can be written and see their window;
  // full groups are covered to full_end (>= end). Copies for shared tails are counted.
  GroupCounts BlocksNeeded(const SequenceKv& kv, int64_t begin, int64_t end,
                           int64_t full_end) const;
  // Takes them for `plan`; appends the copies that must precede its rows.
  void Reserve(SequenceKv& kv, int64_t begin, int64_t end, int64_t full_end, PlanId plan,
               std::vector<PageCopy>& copies);

  // child, which is empty, shares everything that parent holds.
  void Fork(const SequenceKv& parent, SequenceKv& child);

  // Offers the full blocks of positions [0, computed) to the index.
  void Publish(SequenceKv& kv, int64_t computed, TokenAt token);

  // Gives back what no row at `next_position` or later can see. `plan` is the last plan that names
  // the sequence: blocks are free once it has committed.
  void ReleaseBehindWindow(SequenceKv& kv, int64_t next_position, PlanId plan);
  void ReleaseAll(SequenceKv& kv, PlanId plan);

  // Plans commit in order.
  void CommitPlan(PlanId plan);
  PlanId last_committed() const { return last_committed_; }
  // Per group, blocks that become available once the outstanding plans have committed.
  GroupCounts Releasing() const;

  // The first block of `group` that the window of a row at `position` reaches.
  int32_t FirstVisibleBlock(int group, int64_t position) const;
  // Blocks [0, n) of `group` hold its sinks: they never leave.
  int32_t SinkBlocks(int group) const;

  // CHECKs the pools and that every reference count equals the number of tables (and of releases
  // that wait for a plan) that hold the block.
  void CheckInvariants(absl::Span<const SequenceKv* const> live) const;

 private:
  // The last reference of a block that an outstanding plan names.
  struct PendingRelease {
    int group = 0;
    BlockId block;
  };

  BlockId Take(int group);
  void Release(int group, BlockId block, PlanId plan);
  absl::Span<const TokenId> BlockTokens(int64_t block, TokenAt token) const;
  bool TailIsShared(const SequenceKv& kv, int group, int64_t begin) const;
  bool Sees(int group, int64_t position, int32_t block) const;

  KvManagerConfig config_;
  std::vector<BlockPool> pools_;
  PrefixIndex index_;
  PlanId last_committed_{-1};
  std::vector<PendingRelease> pending_;
  // The last plan that names each block, as far as those who released it know. [groups][num_blocks]
  std::vector<std::vector<PlanId>> last_named_;
  mutable std::vector<TokenId> block_tokens_;  // scratch [B]
};

}  // namespace quire

#endif  // QUIRE_KVCACHE_KV_MANAGER_H_
