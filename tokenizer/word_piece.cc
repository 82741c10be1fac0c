#include "tokenizer/word_piece.h"

#include <limits>

#include "core/status_macros.h"
#include "core/utf8.h"

namespace quire {
namespace {

absl::StatusOr<UnknownToken> ReadUnknown(const JsonNode& model, const Vocabulary& vocabulary) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode node, model.Member("unk_token"));
  UnknownToken unknown;
  QUIRE_ASSIGN_OR_RETURN(unknown.text, node.String());
  unknown.id = vocabulary.Find(unknown.text);
  return unknown;
}

absl::StatusOr<Vocabulary> ReadVocabularyOf(const JsonNode& model) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode vocabulary, model.Member("vocab"));
  return ReadVocabulary(vocabulary);
}

absl::Status AppendUnknown(const UnknownToken& unknown, absl::string_view word,
                           std::vector<TokenId>* ids) {
  if (unknown.id == kNoToken) return MissingUnknownToken(word, unknown.text);
  ids->push_back(unknown.id);
  return absl::OkStatus();
}

bool HasMoreCharacters(absl::string_view word, int64_t most) {
  if (static_cast<int64_t>(word.size()) <= most) return false;
  int64_t characters = 0;
  for (size_t pos = 0; pos < word.size() && characters <= most; pos += Utf8Bytes(word[pos])) {
    ++characters;
  }
  return characters > most;
}

}  // namespace

class WordPiece::Encoder : public PieceEncoder {
 public:
  Encoder(const WordPiece* model, CpuLimit* cpu_limit) : model_(*model), cpu_limit_(cpu_limit) {}
  absl::Status Encode(absl::string_view piece, std::vector<TokenId>* ids) override {
    return model_.Encode(piece, cpu_limit_, ids);
  }

 private:
  const WordPiece& model_;
  CpuLimit* cpu_limit_;
};

absl::StatusOr<std::unique_ptr<const WordPiece>> WordPiece::Read(const JsonNode& model) {
  QUIRE_ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabularyOf(model));
  std::unique_ptr<WordPiece> out(new WordPiece(std::move(vocabulary)));
  QUIRE_ASSIGN_OR_RETURN(out->unknown_, ReadUnknown(model, out->vocabulary()));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode prefix_node, model.Member("continuing_subword_prefix"));
  QUIRE_ASSIGN_OR_RETURN(const std::string prefix, prefix_node.String());
  out->continued_ = out->tokens_.Find(prefix);
  QUIRE_ASSIGN_OR_RETURN(const JsonNode most, model.Member("max_input_chars_per_word"));
  QUIRE_ASSIGN_OR_RETURN(out->max_characters_,
                         most.Integer(0, std::numeric_limits<int64_t>::max()));
  return out;
}

std::unique_ptr<PieceEncoder> WordPiece::NewEncoder(CpuLimit* cpu_limit) const {
  return std::make_unique<Encoder>(this, cpu_limit);
}

absl::Status WordPiece::Encode(absl::string_view word, CpuLimit* cpu_limit,
                               std::vector<TokenId>* ids) const {
  const size_t before = ids->size();
  bool is_known = !HasMoreCharacters(word, max_characters_);
  for (size_t begin = 0; is_known && begin < word.size();) {
    if (cpu_limit->IsPassedNowAndThen()) return ModelTookTooLong();
    const Match match = LongestToken(word, begin);
    is_known = match.token != kNoToken;
    ids->push_back(match.token);
    begin = match.end;
  }
  if (is_known) return absl::OkStatus();
  ids->resize(before);
  return AppendUnknown(unknown_, word, ids);
}

WordPiece::Match WordPiece::LongestToken(absl::string_view word, size_t begin) const {
  Match longest;
  Trie::Node node = begin == 0 ? Trie::kRoot : continued_;
  for (size_t end = begin; end < word.size() && node != Trie::kNoNode;) {
    node = tokens_.Child(node, word[end++]);
    if (node != Trie::kNoNode && tokens_.Token(node) != kNoToken) {
      longest = {tokens_.Token(node), end};
    }
  }
  return longest;
}

class WordLevel::Encoder : public PieceEncoder {
 public:
  explicit Encoder(const WordLevel* model) : model_(*model) {}
  absl::Status Encode(absl::string_view piece, std::vector<TokenId>* ids) override {
    const TokenId token = model_.vocabulary().Find(piece);
    if (token == kNoToken) return AppendUnknown(model_.unknown_, piece, ids);
    ids->push_back(token);
    return absl::OkStatus();
  }

 private:
  const WordLevel& model_;
};

absl::StatusOr<std::unique_ptr<const WordLevel>> WordLevel::Read(const JsonNode& model) {
  QUIRE_ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabularyOf(model));
  std::unique_ptr<WordLevel> out(new WordLevel(std::move(vocabulary)));
  QUIRE_ASSIGN_OR_RETURN(out->unknown_, ReadUnknown(model, out->vocabulary()));
  return out;
}

std::unique_ptr<PieceEncoder> WordLevel::NewEncoder(CpuLimit* /*cpu_limit*/) const {
  return std::make_unique<Encoder>(this);
}

}  // namespace quire
