// The added tokens of tokenizer.json: recognised in the text before the model sees it.
#ifndef QUIRE_TOKENIZER_ADDED_TOKENS_H_
#define QUIRE_TOKENIZER_ADDED_TOKENS_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/ids.h"
#include "tokenizer/json.h"
#include "tokenizer/multi_pattern.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/vocabulary.h"

namespace quire {

struct AddedToken {
  TokenId id = kNoToken;
  std::string content;
  std::string decoded;  // what the decoder reads: the content, normalised if `normalized` is set
  bool single_word = false;  // not next to a word character
  bool lstrip = false;       // takes the white space on its left with it
  bool rstrip = false;
  bool normalized = false;  // looked for in the normalised text, in its normalised form
  bool special = false;
};

// A half-open byte range of a text, and the added token that it is (kNoToken: plain text).
struct TextSpan {
  size_t begin;
  size_t end;
  TokenId token;
};

// Immutable and thread-safe.
class AddedTokens {
 public:
  // `list` is the file's "added_tokens" (nullopt: none), `normalizer` may be null. INVALID_ARGUMENT
  // also where an id is not the one that the `tokenizers` package would give the token: the
  // model's, or the next one behind the model's vocabulary.
  static absl::StatusOr<std::unique_ptr<const AddedTokens>> Read(
      const std::optional<JsonNode>& list, const Vocabulary& model, const Normalizer* normalizer);

  // Splits the text as it came at the tokens that are not `normalized`, and a normalised part at
  // those that are. Linear in the text. Spans are in order and cover it, except for white space.
  std::vector<TextSpan> SplitRaw(absl::string_view text) const { return Split(raw_, text); }
  std::vector<TextSpan> SplitNormalized(absl::string_view text) const {
    return Split(normalized_, text);
  }

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  // Null where there is none.
  const AddedToken* Find(absl::string_view content) const;

 private:
  // The tokens that are looked for together.
  struct Group {
    std::vector<size_t> tokens;                   // pattern -> index into tokens_
    std::unique_ptr<const MultiPattern> matcher;  // null where there are none
  };

  absl::Status Add(const JsonNode& node, const Vocabulary& model, const Normalizer* normalizer,
                   TokenId* next_id);
  absl::Status MakeGroup(const JsonNode& list, bool normalized, Group* group) const;
  std::vector<TextSpan> Split(const Group& group, absl::string_view text) const;

  std::vector<AddedToken> tokens_;
  absl::flat_hash_map<std::string, size_t> index_;  // content -> index into tokens_
  Group raw_;
  Group normalized_;
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_ADDED_TOKENS_H_
