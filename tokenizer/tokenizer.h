// Text to tokens and back, as a model's tokenizer.json says.
//
// It gives the ids and the text that version 0.23 of the `tokenizers` package gives. Of the file it
// reads byte pair encodings of both families, byte-level (GPT-2, Llama 3, Qwen, DeepSeek) and
// SentencePiece-like with byte fallback (Llama 2, Mistral, Gemma), WordPiece (BERT), Unigram
// (XLM-R, T5, ALBERT) and WordLevel. "truncation" and "padding" are ignored: a server neither cuts
// nor fills a prompt.
#ifndef QUIRE_TOKENIZER_TOKENIZER_H_
#define QUIRE_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/ids.h"

namespace quire {

class AddedTokens;
class TokenDecoder;
class DecodeStream;
class JsonNode;
class Normalizer;
class PreTokenizer;
class TokenModel;
struct PostProcessor;

// Immutable and thread-safe.
class Tokenizer {
 public:
  // Reads the tokenizer.json at `path`. NOT_FOUND where it can't be read; INVALID_ARGUMENT, one
  // line that names the file, the place in it, what was found and what was expected, for everything
  // else.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromFile(const std::string& path);
  // The same for its content; `name` stands for the file in messages.
  static absl::StatusOr<std::unique_ptr<const Tokenizer>> FromJson(absl::string_view json,
                                                                   absl::string_view name);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // The tokens of `text`, with those that the post-processor puts around it (bos, eos) if asked.
  // Added and special tokens that stand in the text are recognised. Invalid UTF-8 becomes U+FFFD,
  // one per maximal subpart, as Python's decode("utf-8", "replace"). O(n log n) in the bytes.
  // INVALID_ARGUMENT for a text over kMaxTextBytes, one that needs a token which the vocabulary
  // lacks, or one on which the patterns of the file meet a limit on steps or time.
  absl::StatusOr<std::vector<TokenId>> Encode(absl::string_view text,
                                              bool add_special_tokens) const;
  static constexpr size_t kMaxTextBytes = size_t{1} << 30;

  // The text of `ids` as the package gives it, always valid UTF-8. Ids without a token are skipped.
  // IncrementalDetokenizer says where it differs.
  std::string Decode(absl::Span<const TokenId> ids, bool skip_special_tokens) const;

  // The highest id + 1, added tokens included.
  int32_t vocab_size() const { return static_cast<int32_t>(token_text_.size()); }
  std::optional<TokenId> TokenToId(absl::string_view token) const;
  // As it stands in the file, "\u0120the" for instance; empty where there is no such token.
  absl::string_view IdToToken(TokenId id) const;
  // Whether the file says so of this id. Decode goes by the text, as the package does: it skips the
  // tokens that read as a special token's content once normalised.
  bool IsSpecial(TokenId id) const;

 private:
  friend class IncrementalDetokenizer;

  Tokenizer();
  absl::Status Read(const JsonNode& root);
  void FillTokenTable();

  absl::Status EncodeText(absl::string_view text, std::vector<TokenId>* ids) const;
  // Hands the token to the stream unless it is unknown.
  void PushToken(TokenId id, DecodeStream* stream) const;

  std::unique_ptr<const TokenModel> model_;
  std::unique_ptr<const Normalizer> normalizer_;       // may be null
  std::unique_ptr<const PreTokenizer> pre_tokenizer_;  // may be null
  std::unique_ptr<const AddedTokens> added_;
  std::unique_ptr<const PostProcessor> post_processor_;
  std::unique_ptr<const TokenDecoder> decoder_;

  std::vector<absl::string_view> token_text_;  // [vocab_size]; null data where there is no token
  std::vector<bool> is_special_;               // [vocab_size]
  std::vector<bool> reads_as_special_;         // [vocab_size], see IsSpecial
  // What the decoder reads of the added tokens whose normalised form differs from their text.
  absl::flat_hash_map<TokenId, absl::string_view> decoded_text_;
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_TOKENIZER_H_
