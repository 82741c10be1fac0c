// The models that look whole words up: WordPiece, which also takes them apart, and WordLevel.
#ifndef QUIRE_TOKENIZER_WORD_PIECE_H_
#define QUIRE_TOKENIZER_WORD_PIECE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/ids.h"
#include "tokenizer/model.h"
#include "tokenizer/trie.h"

namespace quire {

// The token of a word that the vocabulary cannot make.
struct UnknownToken {
  std::string text;
  TokenId id = kNoToken;  // where the vocabulary lacks it: words that need it are refused
};

// BERT's: a word is its longest token, then the longest one for what follows, spelt behind a
// prefix ("##"), and so on; or the unknown token as a whole where some part has none.
// Immutable and thread-safe.
class WordPiece : public TokenModel {
 public:
  static absl::StatusOr<std::unique_ptr<const WordPiece>> Read(const JsonNode& model);
  std::unique_ptr<PieceEncoder> NewEncoder(CpuLimit* cpu_limit) const override;

 private:
  class Encoder;

  explicit WordPiece(Vocabulary vocabulary)
      : TokenModel(std::move(vocabulary)), tokens_(this->vocabulary()) {}
  // O(n * longest token), with at most max_characters_ characters.
  absl::Status Encode(absl::string_view word, CpuLimit* cpu_limit, std::vector<TokenId>* ids) const;
  // The longest token of word[begin, end), and that end; kNoToken where there is none.
  struct Match {
    TokenId token = kNoToken;
    size_t end = 0;
  };
  Match LongestToken(absl::string_view word, size_t begin) const;

  Trie tokens_;
  Trie::Node continued_ = Trie::kNoNode;  // behind the prefix
  int64_t max_characters_ = 0;            // of a word; longer ones are unknown
  UnknownToken unknown_;
};

// A word is one token. Immutable and thread-safe.
class WordLevel : public TokenModel {
 public:
  static absl::StatusOr<std::unique_ptr<const WordLevel>> Read(const JsonNode& model);
  std::unique_ptr<PieceEncoder> NewEncoder(CpuLimit* cpu_limit) const override;

 private:
  class Encoder;

  explicit WordLevel(Vocabulary vocabulary) : TokenModel(std::move(vocabulary)) {}

  UnknownToken unknown_;
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_WORD_PIECE_H_
