// The tokens of a vocabulary by their bytes, for models that look for the tokens at a place.
#ifndef QUIRE_TOKENIZER_TRIE_H_
#define QUIRE_TOKENIZER_TRIE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/strings/string_view.h"
#include "core/ids.h"
#include "tokenizer/vocabulary.h"

namespace quire {

// Immutable and thread-safe.
class Trie {
 public:
  using Node = uint32_t;
  static constexpr Node kRoot = 0;
  static constexpr Node kNoNode = 0xFFFFFFFF;

  explicit Trie(const Vocabulary& vocabulary);

  // The node one byte on; kNoNode where no token goes on so.
  Node Child(Node node, char byte) const {
    const Node first = first_child_[node];
    const size_t count = first_child_[node + 1] - first;
    if (count == 0) return kNoNode;
    const char* const labels = labels_.data() + first;
    const void* const found = std::memchr(labels, byte, count);
    return found == nullptr ? kNoNode
                            : first + static_cast<Node>(static_cast<const char*>(found) - labels);
  }
  // The node that `bytes` lead to from the root, or kNoNode.
  Node Find(absl::string_view bytes) const;
  // The token that ends at the node, or kNoToken.
  TokenId Token(Node node) const { return tokens_[node]; }

 private:
  // By level, the children of a node next to each other.
  std::vector<Node> first_child_;  // [nodes + 1]: those of node i end where those of i + 1 begin
  std::vector<TokenId> tokens_;    // [nodes]
  std::vector<char> labels_;       // [nodes]: the byte that leads there
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_TRIE_H_
