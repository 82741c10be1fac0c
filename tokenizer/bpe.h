// Byte pair encoding.
#ifndef QUIRE_TOKENIZER_BPE_H_
#define QUIRE_TOKENIZER_BPE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/ids.h"
#include "tokenizer/bpe_merge.h"
#include "tokenizer/json.h"
#include "tokenizer/model.h"
#include "tokenizer/vocabulary.h"

namespace quire {

// Immutable and thread-safe (the memo below is only a cache).
class Bpe : public TokenModel {
 public:
  // Of the file's "model". Supported: byte_fallback, fuse_unk, unk_token, ignore_merges, merges as
  // "a b" or ["a", "b"]. Refused: dropout, continuing_subword_prefix, end_of_word_suffix.
  static absl::StatusOr<std::unique_ptr<const Bpe>> Read(const JsonNode& model);

  std::unique_ptr<PieceEncoder> NewEncoder(CpuLimit* cpu_limit) const override;

 private:
  // Buffers of one thread for the calls that it makes.
  struct Scratch {
    std::vector<TokenId> symbols;
    WordMerger merger;
  };
  class Encoder;

  explicit Bpe(Vocabulary vocabulary);
  absl::Status ReadOptions(const JsonNode& model);
  absl::Status ReadMerges(const JsonNode& list);

  // O(n log n).
  absl::Status Encode(absl::string_view piece, Scratch* scratch, std::vector<TokenId>* ids) const;
  // The token that is the character at text[pos] alone, or kNoToken.
  TokenId CharacterToken(absl::string_view text, size_t pos) const;
  size_t NextCut(absl::string_view piece, size_t begin) const;
  absl::Status EncodeChunk(absl::string_view chunk, Scratch* scratch,
                           std::vector<TokenId>* ids) const;
  absl::Status AppendSymbols(absl::string_view chunk, std::vector<TokenId>* symbols) const;

  size_t longest_text_ = 0;  // bytes, of a token
  MergeTable merges_;
  std::vector<TokenId> bmp_tokens_;            // [0x10000]; the tokens of one character
  std::array<TokenId, 256> byte_tokens_ = {};  // "<0x00>", ...; kNoToken where there is none
  bool byte_fallback_ = false;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
  bool has_unknown_ = false;
  std::string unknown_text_;
  TokenId unknown_ = kNoToken;

  // Characters that nothing but themselves merges with on their left (Metaspace's "\u2581", in most
  // vocabularies): a long text may be cut before them. [id_end], of tokens of one character.
  std::vector<bool> starts_word_;

  // What merging a token's own text gives, found out when it is first met. [id_end]
  enum class Whole : uint8_t { kUnknown, kYes, kNo };
  std::unique_ptr<std::atomic<Whole>[]> merges_to_itself_;
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_BPE_H_
