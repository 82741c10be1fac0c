#include "tokenizer/trie.h"

#include <algorithm>
#include <utility>

namespace quire {

Trie::Trie(const Vocabulary& vocabulary) {
  std::vector<std::pair<absl::string_view, TokenId>> tokens(vocabulary.ids().begin(),
                                                            vocabulary.ids().end());
  std::sort(tokens.begin(), tokens.end());
  // The tokens that begin with the bytes that lead to a node, as a half-open range of `tokens`.
  struct Range {
    size_t begin;
    size_t end;
  };
  const auto add = [this](char label) {
    labels_.push_back(label);
    tokens_.push_back(kNoToken);
  };
  add('\0');
  std::vector<Range> level = {{0, tokens.size()}};
  for (size_t depth = 0; !level.empty(); ++depth) {
    std::vector<Range> next;
    for (const Range& range : level) {
      const Node node = static_cast<Node>(first_child_.size());
      first_child_.push_back(static_cast<Node>(labels_.size()));
      size_t at = range.begin;
      if (at < range.end && tokens[at].first.size() == depth) tokens_[node] = tokens[at++].second;
      while (at < range.end) {
        const char label = tokens[at].first[depth];
        const size_t begin = at;
        while (at < range.end && tokens[at].first[depth] == label) ++at;
        add(label);
        next.push_back({begin, at});
      }
    }
    level = std::move(next);
  }
  first_child_.push_back(static_cast<Node>(labels_.size()));
}

Trie::Node Trie::Find(absl::string_view bytes) const {
  Node node = kRoot;
  for (size_t i = 0; i < bytes.size() && node != kNoNode; ++i) node = Child(node, bytes[i]);
  return node;
}

}  // namespace quire
