// The model of tokenizer.json: the vocabulary, and how a piece of text becomes tokens of it.
#ifndef QUIRE_TOKENIZER_MODEL_H_
#define QUIRE_TOKENIZER_MODEL_H_

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/ids.h"
#include "tokenizer/cpu_limit.h"
#include "tokenizer/json.h"
#include "tokenizer/vocabulary.h"

namespace quire {

// Encodes the pieces of one text, with buffers that it keeps between them. Used by one thread.
class PieceEncoder {
 public:
  virtual ~PieceEncoder() = default;
  // Appends the tokens of `piece` (valid UTF-8). INVALID_ARGUMENT where it needs the unknown token
  // and the vocabulary has none, or passes the limit on time, which no known vocabulary comes near.
  virtual absl::Status Encode(absl::string_view piece, std::vector<TokenId>* ids) = 0;
};

// Immutable and thread-safe.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  const Vocabulary& vocabulary() const { return vocabulary_; }
  // Borrows the model, and the limit of the whole text.
  virtual std::unique_ptr<PieceEncoder> NewEncoder(CpuLimit* cpu_limit) const = 0;

 protected:
  explicit TokenModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}

 private:
  Vocabulary vocabulary_;
};

// Of the file's "model"; its type is BPE, Unigram, WordLevel or WordPiece.
absl::StatusOr<std::unique_ptr<const TokenModel>> ReadModel(const JsonNode& model);

// Of a model's "vocab" that is an object of tokens and their ids.
absl::StatusOr<Vocabulary> ReadVocabulary(const JsonNode& node);

// The tokens "<0x00>" to "<0xFF>" that stand for bytes; kNoToken where there is none.
std::array<TokenId, 256> ByteTokens(const Vocabulary& vocabulary);

// INVALID_ARGUMENT: `text` needs the unknown token, and the vocabulary has none.
absl::Status MissingUnknownToken(absl::string_view text, absl::string_view unknown_text);
// INVALID_ARGUMENT: the model has met the limit on the time of a text.
absl::Status ModelTookTooLong();

}  // namespace quire

#endif  // QUIRE_TOKENIZER_MODEL_H_
