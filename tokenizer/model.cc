#include "tokenizer/model.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/status_macros.h"
#include "tokenizer/bpe.h"
#include "tokenizer/unigram.h"
#include "tokenizer/word_piece.h"

namespace quire {
namespace {

namespace dom = simdjson::dom;

// Old files do not name the type: it shows in what else there is.
absl::StatusOr<std::string> ReadType(const JsonNode& model) {
  if (const std::optional<JsonNode> type = model.Find("type")) return type->String();
  if (model.Has("merges")) return std::string("BPE");
  if (model.Has("continuing_subword_prefix")) return std::string("WordPiece");
  QUIRE_ASSIGN_OR_RETURN(const JsonNode vocabulary, model.Member("vocab"));
  if (vocabulary.value().is_array()) return std::string("Unigram");
  return std::string(model.Has("unk_token") ? "WordLevel" : "BPE");
}

}  // namespace

absl::StatusOr<std::unique_ptr<const TokenModel>> ReadModel(const JsonNode& model) {
  QUIRE_ASSIGN_OR_RETURN(const std::string type, ReadType(model));
  if (type == "BPE") return Bpe::Read(model);
  if (type == "Unigram") return Unigram::Read(model);
  if (type == "WordLevel") return WordLevel::Read(model);
  if (type == "WordPiece") return WordPiece::Read(model);
  return model.UnexpectedType("one of BPE, Unigram, WordLevel, WordPiece");
}

absl::StatusOr<Vocabulary> ReadVocabulary(const JsonNode& node) {
  dom::object tokens;
  if (node.value().get(tokens) != simdjson::SUCCESS) {
    return node.Unexpected("an object of tokens and ids");
  }
  size_t text_bytes = 0;
  for (const dom::key_value_pair token : tokens) text_bytes += token.key.size();
  Vocabulary vocabulary(text_bytes);
  for (const dom::key_value_pair token : tokens) {
    const absl::string_view text = View(token.key);
    int64_t id = 0;
    if (token.value.get(id) != simdjson::SUCCESS || id < 0 || id > kMaxTokenId) {
      return node.Element(text, token.value)
          .Unexpected(absl::StrCat("an id from 0 to ", kMaxTokenId));
    }
    if (!vocabulary.Add(text, static_cast<TokenId>(id))) {
      return node.Element(text, token.value).Unexpected("a token that does not occur twice");
    }
  }
  return vocabulary;
}

std::array<TokenId, 256> ByteTokens(const Vocabulary& vocabulary) {
  std::array<TokenId, 256> tokens{};
  for (int byte = 0; byte < 256; ++byte) {
    tokens[byte] = vocabulary.Find(absl::StrFormat("<0x%02X>", byte));
  }
  return tokens;
}

absl::Status MissingUnknownToken(absl::string_view text, absl::string_view unknown_text) {
  return absl::InvalidArgumentError(
      absl::StrCat("the text has ", Quoted(text), ", which the tokenizer lacks, and its unk_token ",
                   Quoted(unknown_text), " is not in its vocabulary"));
}

absl::Status ModelTookTooLong() {
  return absl::InvalidArgumentError(
      "the tokenizer's model gave up on this text: its tokens are so long that looking for them "
      "takes too long; send a shorter text");
}

}  // namespace quire
