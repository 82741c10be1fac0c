// Finds any of many strings in a text, in time linear in the text.
#ifndef QUIRE_TOKENIZER_MULTI_PATTERN_H_
#define QUIRE_TOKENIZER_MULTI_PATTERN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace quire {

// Immutable and thread-safe.
class MultiPattern {
 public:
  struct Match {
    size_t begin;  // half-open byte range of the text
    size_t end;
    int32_t pattern;  // its index
  };

  // The patterns are distinct and not empty.
  explicit MultiPattern(const std::vector<absl::string_view>& patterns);

  // The leftmost match, the longest of those that start there; then the same behind it; and so on.
  std::vector<Match> FindAll(absl::string_view text) const;

 private:
  // Aho and Corasick's automaton of the reversed patterns, read from the end of the text: at each
  // byte its state tells the longest pattern that starts there, so that choosing the matches from
  // the left never looks back. (Run forwards, a long pattern that fails late makes the search
  // start over at the end of a short one: quadratic.)
  struct Node {
    int32_t fail = 0;      // the node of the longest proper suffix
    int32_t longest = -1;  // pattern; -1 for none
  };
  int32_t Child(int32_t node, char byte) const {  // -1 where there is none
    const auto it = children_.find(Edge(node, byte));
    return it == children_.end() ? -1 : it->second;
  }
  static uint64_t Edge(int32_t node, char byte) {
    return static_cast<uint64_t>(node) << 8 | static_cast<unsigned char>(byte);
  }
  int32_t Step(int32_t node, char byte) const;

  std::vector<size_t> sizes_;                    // of the patterns, bytes
  std::vector<Node> nodes_;                      // the root is 0
  std::array<int32_t, 256> root_children_ = {};  // 0 where there is none
  absl::flat_hash_map<uint64_t, int32_t> children_;
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_MULTI_PATTERN_H_
