// 128-bit chained hashes of full blocks of tokens: the names of the prefix index.
//
// hash(block i) = SipHash-2-4-128(key, hash(block i - 1), tokens of block i), and the chain starts
// from a root that mixes in everything that must keep caches apart. The key is drawn at start, so
// that a client can't construct collisions (Aumasson & Bernstein, "SipHash: a fast short-input
// PRF", 2012; 128-bit variant of the authors' reference).
#ifndef QUIRE_KVCACHE_BLOCK_HASH_H_
#define QUIRE_KVCACHE_BLOCK_HASH_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/ids.h"

namespace quire {

struct Hash128 {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const Hash128&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Hash128& hash) {
    return H::combine(std::move(h), hash.low, hash.high);
  }
};

// Any 16 bytes; equal keys give equal hashes.
using HashKey = Hash128;

Hash128 SipHash128(const HashKey& key, const void* data, size_t bytes);

// Root of the chains of one (tenant, cache_salt, rope): equal prompts of different roots never
// meet. `rope` names the rotation of the keys (RopeCacheKey). Unambiguous: ("ab", "c") and
// ("a", "bc") differ.
Hash128 RootHash(const HashKey& key, absl::string_view tenant, absl::string_view cache_salt,
                 absl::string_view rope);

Hash128 BlockHash(const HashKey& key, const Hash128& parent, absl::Span<const TokenId> tokens);

}  // namespace quire

#endif  // QUIRE_KVCACHE_BLOCK_HASH_H_
