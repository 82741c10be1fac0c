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
  const std::greater<> lowest_first;
  pairs_.assign(word.size(), Merge());
  next_.resize(word.size());
  prev_.resize(word.size());
  heap_.clear();
  // Looks the pair of `left` and its next up again.
  const auto update = [&](int32_t left) {
    pairs_[left] = next_[left] == kNone ? Merge() : merges.Find(word[left], word[next_[left]]);
    if (pairs_[left].rank == Merge::kNoRank) return false;
    heap_.push_back(static_cast<uint64_t>(pairs_[left].rank) << 32 | static_cast<uint32_t>(left));
    return true;
  };
  for (int32_t i = 0; i < size; ++i) {
    prev_[i] = i - 1;
    next_[i] = i + 1 < size ? i + 1 : kNone;
    update(i);
  }
  std::make_heap(heap_.begin(), heap_.end(), lowest_first);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), lowest_first);
    const auto rank = static_cast<uint32_t>(heap_.back() >> 32);
    const auto left = static_cast<int32_t>(heap_.back() & 0xFFFFFFFF);
    heap_.pop_back();
    // Stale once either symbol has been merged with another.
    if (pairs_[left].rank != rank) continue;
    const int32_t right = next_[left];
    word[left] = pairs_[left].result;
    word[right] = kNoToken;
    pairs_[right] = Merge();
    next_[left] = next_[right];
    if (next_[left] != kNone) prev_[next_[left]] = left;
    if (update(left)) std::push_heap(heap_.begin(), heap_.end(), lowest_first);
    if (prev_[left] != kNone && update(prev_[left])) {
      std::push_heap(heap_.begin(), heap_.end(), lowest_first);
    }
  }
  word.erase(std::remove(word.begin(), word.end(), kNoToken), word.end());
}

}  // namespace quire
