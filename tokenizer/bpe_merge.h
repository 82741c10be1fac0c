// The merges of a byte pair encoding, and how a word is merged.
#ifndef QUIRE_TOKENIZER_BPE_MERGE_H_
#define QUIRE_TOKENIZER_BPE_MERGE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/ids.h"
#include "tokenizer/vocabulary.h"

namespace quire {

struct Merge {
  static constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();

  uint32_t rank = kNoRank;  // lower ranks are merged first
  TokenId result = kNoToken;
};

class MergeTable {
 public:
  void Reserve(size_t merges) { merges_.reserve(merges); }
  // A later merge of the same two tokens replaces the earlier one.
  void Set(TokenId left, TokenId right, Merge merge) { merges_[Key(left, right)] = merge; }
  // Rank kNoRank where the two do not merge.
  Merge Find(TokenId left, TokenId right) const {
    const auto it = merges_.find(Key(left, right));
    return it == merges_.end() ? Merge() : it->second;
  }

 private:
  static uint64_t Key(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }

  absl::flat_hash_map<uint64_t, Merge> merges_;
};

// Merges words; keeps its buffers between them.
class WordMerger {
 public:
  // Replaces neighbours in `symbols` until no two merge: the lowest rank first, the leftmost of
  // equals. O(n log n).
  void MergeAll(const MergeTable& merges, std::vector<TokenId>* symbols);

 private:
  void MergeShort(const MergeTable& merges, std::vector<TokenId>* symbols);
  void MergeLong(const MergeTable& merges, std::vector<TokenId>* symbols);

  std::vector<Merge> pairs_;    // of each symbol and the next
  std::vector<uint64_t> heap_;  // MergeLong: rank << 32 | index of the left symbol
  std::vector<int32_t> next_;   // MergeLong: index of the next symbol that still stands
  std::vector<int32_t> prev_;
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_BPE_MERGE_H_
