#include "tokenizer/bpe_merge.h"

#include <algorithm>
#include <functional>

#include "core/check.h"

namespace quire {

// Up to here looking at every pair is faster than a heap; it bounds the quadratic part.
constexpr size_t kShortWord = 32;

void WordMerger::MergeAll(const MergeTable& merges, std::vector<TokenId>* symbols) {
  if (symbols->size() <= kShortWord) {
    MergeShort(merges, symbols);
  } else {
    MergeLong(merges, symbols);
  }
}

void WordMerger::MergeShort(const MergeTable& merges, std::vector<TokenId>* symbols) {
  std::vector<TokenId>& word = *symbols;
  pairs_.clear();
  for (size_t i = 1; i < word.size(); ++i) pairs_.push_back(merges.Find(word[i - 1], word[i]));
  while (!pairs_.empty()) {
    const auto best =
        std::min_element(pairs_.begin(), pairs_.end(),
                         [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
    if (best->rank == Merge::kNoRank) return;
    const size_t i = best - pairs_.begin();
    word[i] = best->result;
    word.erase(word.begin() + static_cast<ptrdiff_t>(i) + 1);
    pairs_.erase(best);
    if (i > 0) pairs_[i - 1] = merges.Find(word[i - 1], word[i]);
    if (i < pairs_.size()) pairs_[i] = merges.Find(word[i], word[i + 1]);
  }
}

void WordMerger::MergeLong(const MergeTable& merges, std::vector<TokenId>* symbols) {
  std::vector<TokenId>& word = *symbols;
  QUIRE_CHECK_LT(word.size(), size_t{1} << 31);
  const auto size = static_cast<int32_t>(word.size());
  constexpr int32_t kNone = -1;
  next_.resize(word.size());
  prev_.resize(word.size());
  heap_.clear();
  const auto key = [](uint32_t rank, int32_t left) {
    return static_cast<uint64_t>(rank) << 32 | static_cast<uint32_t>(left);
  };
  for (int32_t i = 0; i < size; ++i) {
    prev_[i] = i - 1;
    next_[i] = i + 1 < size ? i + 1 : kNone;
    if (i + 1 == size) break;
    const uint32_t rank = merges.Find(word[i], word[i + 1]).rank;
    if (rank != Merge::kNoRank) heap_.push_back(key(rank, i));
  }
  const std::greater<> lowest_first;
  std::make_heap(heap_.begin(), heap_.end(), lowest_first);
  const auto push = [&](int32_t left, int32_t right) {
    if (left == kNone || right == kNone) return;
    const uint32_t rank = merges.Find(word[left], word[right]).rank;
    if (rank == Merge::kNoRank) return;
    heap_.push_back(key(rank, left));
    std::push_heap(heap_.begin(), heap_.end(), lowest_first);
  };
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), lowest_first);
    const auto rank = static_cast<uint32_t>(heap_.back() >> 32);
    const auto left = static_cast<int32_t>(heap_.back() & 0xFFFFFFFF);
    heap_.pop_back();
    // An entry is stale once either symbol has been merged with another.
    if (word[left] == kNoToken || next_[left] == kNone) continue;
    const int32_t right = next_[left];
    const Merge merge = merges.Find(word[left], word[right]);
    if (merge.rank != rank) continue;
    word[left] = merge.result;
    word[right] = kNoToken;
    next_[left] = next_[right];
    if (next_[left] != kNone) prev_[next_[left]] = left;
    push(prev_[left], left);
    push(left, next_[left]);
  }
  word.erase(std::remove(word.begin(), word.end(), kNoToken), word.end());
}

}  // namespace quire
