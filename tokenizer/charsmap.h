// SentencePiece's compiled normalisation rules: which characters become what.
#ifndef QUIRE_TOKENIZER_CHARSMAP_H_
#define QUIRE_TOKENIZER_CHARSMAP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace quire {

// Immutable and thread-safe.
class Charsmap {
 public:
  // `blob` is, little-endian: uint32 size of the trie in bytes; the trie, a double array of uint32
  // units; the texts that it points into, each ended by a NUL. INVALID_ARGUMENT says which part is
  // malformed.
  static absl::StatusOr<Charsmap> Parse(absl::string_view blob);

  // What replaces `text` (valid UTF-8): the text of the shortest rule that is a prefix of it, as
  // the `tokenizers` package has it; nullopt where there is none.
  std::optional<absl::string_view> Find(absl::string_view text) const;

 private:
  // The double array, as Darts-clone lays it out: state s and byte c lead to unit s ^ c, whose
  // label is c if there is such a transition; the unit's offset then gives the next state. Unit s
  // itself holds the value of state s.
  static bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
  static uint32_t Value(uint32_t unit) { return unit & 0x7FFFFFFF; }
  static uint32_t Label(uint32_t unit) { return unit & 0x800000FF; }
  static uint32_t Offset(uint32_t unit) { return unit >> 10 << ((unit & 1 << 9) >> 6); }

  absl::Status Check() const;

  std::vector<uint32_t> units_;
  std::string texts_;
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_CHARSMAP_H_
