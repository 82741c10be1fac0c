#include "tokenizer/multi_pattern.h"

#include <utility>

#include "core/check.h"

namespace quire {

MultiPattern::MultiPattern(const std::vector<absl::string_view>& patterns) : nodes_(1) {
  // The trie, level by level, so that a node's suffix is ready before its children ask for it.
  std::vector<int32_t> at(patterns.size(), 0);  // each pattern's node at this level
  std::vector<size_t> alive;
  for (size_t i = 0; i < patterns.size(); ++i) {
    QUIRE_CHECK(!patterns[i].empty());
    sizes_.push_back(patterns[i].size());
    alive.push_back(i);
  }
  for (size_t level = 0; !alive.empty(); ++level) {
    std::vector<size_t> longer;
    for (const size_t i : alive) {
      const char byte = patterns[i][patterns[i].size() - 1 - level];
      const auto [edge, inserted] =
          children_.try_emplace(Edge(at[i], byte), static_cast<int32_t>(nodes_.size()));
      const int32_t node = edge->second;
      if (inserted) {
        const int32_t fail = level == 0 ? 0 : Step(nodes_[at[i]].fail, byte);
        nodes_.push_back({fail, nodes_[fail].longest});
        if (level == 0) root_children_[static_cast<unsigned char>(byte)] = node;
      }
      at[i] = node;
      if (level + 1 == patterns[i].size()) {
        nodes_[node].longest = static_cast<int32_t>(i);
      } else {
        longer.push_back(i);
      }
    }
    alive = std::move(longer);
  }
}

int32_t MultiPattern::Step(int32_t node, char byte) const {
  for (; node != 0; node = nodes_[node].fail) {
    const int32_t child = Child(node, byte);
    if (child >= 0) return child;
  }
  return root_children_[static_cast<unsigned char>(byte)];
}

std::vector<MultiPattern::Match> MultiPattern::FindAll(absl::string_view text) const {
  std::vector<Match> starts;  // from the right
  int32_t node = 0;
  for (size_t pos = text.size(); pos-- > 0;) {
    node =
        node == 0 ? root_children_[static_cast<unsigned char>(text[pos])] : Step(node, text[pos]);
    const int32_t pattern = nodes_[node].longest;
    if (pattern >= 0) starts.push_back({pos, pos + sizes_[pattern], pattern});
  }
  std::vector<Match> matches;
  size_t end = 0;
  for (auto start = starts.rbegin(); start != starts.rend(); ++start) {
    if (start->begin < end) continue;
    matches.push_back(*start);
    end = start->end;
  }
  return matches;
}

}  // namespace quire
