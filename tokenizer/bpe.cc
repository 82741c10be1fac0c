#include "tokenizer/bpe.h"

#include <algorithm>

#include "core/status_macros.h"
#include "tokenizer/unicode.h"

namespace quire {

// Bytes of a piece that is not worth cutting.
constexpr size_t kLongestWord = 48;

class Bpe::Encoder : public PieceEncoder {
 public:
  explicit Encoder(const Bpe* model) : model_(*model) {}
  absl::Status Encode(absl::string_view piece, std::vector<TokenId>* ids) override {
    return model_.Encode(piece, &scratch_, ids);
  }

 private:
  const Bpe& model_;
  Scratch scratch_;
};

std::unique_ptr<PieceEncoder> Bpe::NewEncoder(CpuLimit* /*cpu_limit*/) const {
  return std::make_unique<Encoder>(this);
}

TokenId Bpe::CharacterToken(absl::string_view text, size_t pos) const {
  const size_t bytes = Utf8Bytes(text[pos]);
  if (bytes == 4) return vocabulary().Find(text.substr(pos, bytes));
  return bmp_tokens_[CodePointAt(text, pos)];
}

absl::Status Bpe::Encode(absl::string_view piece, Scratch* scratch,
                         std::vector<TokenId>* ids) const {
  if (ignore_merges_) {
    const TokenId token = vocabulary().Find(piece);
    if (token != kNoToken) {
      ids->push_back(token);
      return absl::OkStatus();
    }
  }
  for (size_t begin = 0; begin < piece.size();) {
    // Words are short enough as they are.
    const size_t end = piece.size() <= kLongestWord ? piece.size() : NextCut(piece, begin);
    QUIRE_RETURN_IF_ERROR(EncodeChunk(piece.substr(begin, end - begin), scratch, ids));
    begin = end;
  }
  return absl::OkStatus();
}

// The end of the shortest chunk from `begin` on that no merge crosses: a merge across the cut would
// have a right part that starts with the one character and a left part that ends with the other.
size_t Bpe::NextCut(absl::string_view piece, size_t begin) const {
  TokenId before = CharacterToken(piece, begin);
  size_t pos = begin + Utf8Bytes(piece[begin]);
  while (pos < piece.size()) {
    const TokenId token = CharacterToken(piece, pos);
    if (token != kNoToken && before != kNoToken && token != before && starts_word_[token]) break;
    before = token;
    pos += Utf8Bytes(piece[pos]);
  }
  return pos;
}

absl::Status Bpe::EncodeChunk(absl::string_view chunk, Scratch* scratch,
                              std::vector<TokenId>* ids) const {
  const TokenId whole = chunk.size() <= longest_text_ ? vocabulary().Find(chunk) : kNoToken;
  if (whole != kNoToken &&
      merges_to_itself_[whole].load(std::memory_order_relaxed) == Whole::kYes) {
    ids->push_back(whole);
    return absl::OkStatus();
  }
  std::vector<TokenId>& symbols = scratch->symbols;
  symbols.clear();
  QUIRE_RETURN_IF_ERROR(AppendSymbols(chunk, &symbols));
  scratch->merger.MergeAll(merges_, &symbols);
  ids->insert(ids->end(), symbols.begin(), symbols.end());
  if (whole != kNoToken) {
    const bool is_whole = symbols.size() == 1 && symbols[0] == whole;
    merges_to_itself_[whole].store(is_whole ? Whole::kYes : Whole::kNo, std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

absl::Status Bpe::AppendSymbols(absl::string_view chunk, std::vector<TokenId>* symbols) const {
  bool unknown_pending = false;  // an unknown token that the next unknown character may join
  const auto flush = [&] {
    if (unknown_pending) symbols->push_back(unknown_);
    unknown_pending = false;
  };
  for (size_t pos = 0; pos < chunk.size(); pos += Utf8Bytes(chunk[pos])) {
    const TokenId token = CharacterToken(chunk, pos);
    if (token != kNoToken) {
      flush();
      symbols->push_back(token);
      continue;
    }
    const absl::string_view bytes = chunk.substr(pos, Utf8Bytes(chunk[pos]));
    const auto token_of = [this](char byte) {
      return byte_tokens_[static_cast<unsigned char>(byte)];
    };
    if (byte_fallback_ && std::all_of(bytes.begin(), bytes.end(),
                                      [&](char byte) { return token_of(byte) != kNoToken; })) {
      // A pending unknown token then follows the bytes: so it is in the `tokenizers` package.
      for (const char byte : bytes) symbols->push_back(token_of(byte));
    } else if (has_unknown_) {
      if (unknown_ == kNoToken) return MissingUnknownToken(bytes, unknown_text_);
      if (!fuse_unknown_) flush();
      unknown_pending = true;
    }
  }
  flush();
  return absl::OkStatus();
}

}  // namespace quire
