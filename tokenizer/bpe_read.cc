// Reads the "model" of tokenizer.json: the half of Bpe that meets faulty files.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "tokenizer/bpe.h"
#include "tokenizer/unicode.h"

namespace quire {
namespace {

namespace dom = simdjson::dom;

absl::Status RefuseUnlessEmpty(const JsonNode& model, absl::string_view key) {
  const std::optional<JsonNode> node = model.Find(key);
  if (!node.has_value()) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(const std::string text, node->String());
  return text.empty() ? absl::OkStatus() : node->Unexpected("null or \"\": it is not supported");
}

absl::Status ReadDropout(const JsonNode& model) {
  const std::optional<JsonNode> dropout = model.Find("dropout");
  double value = 0;
  if (!dropout.has_value() || (dropout->value().get(value) == simdjson::SUCCESS && value == 0)) {
    return absl::OkStatus();
  }
  return dropout->Unexpected("null or 0: a server encodes the same text the same way");
}

struct MergeText {
  absl::string_view left;
  absl::string_view right;
};

// Of "a b" or ["a", "b"]; nullopt where it is neither.
std::optional<MergeText> ParseMerge(dom::element merge) {
  std::string_view line;
  dom::array pair;
  MergeText text;
  if (merge.get(line) == simdjson::SUCCESS) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || space != line.rfind(' ')) return std::nullopt;
    text = {View(line.substr(0, space)), View(line.substr(space + 1))};
  } else {
    std::string_view left;
    std::string_view right;
    if (merge.get(pair) != simdjson::SUCCESS || pair.size() != 2 ||
        pair.at(0).get(left) != simdjson::SUCCESS || pair.at(1).get(right) != simdjson::SUCCESS) {
      return std::nullopt;
    }
    text = {View(left), View(right)};
  }
  if (text.left.empty() || text.right.empty()) return std::nullopt;
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Bpe>> Bpe::Read(const JsonNode& model) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode vocabulary_node, model.Member("vocab"));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode merges, model.Member("merges"));
  QUIRE_ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabulary(vocabulary_node));
  std::unique_ptr<Bpe> bpe(new Bpe(std::move(vocabulary)));
  QUIRE_RETURN_IF_ERROR(bpe->ReadOptions(model));
  QUIRE_RETURN_IF_ERROR(bpe->ReadMerges(merges));
  return bpe;
}

Bpe::Bpe(Vocabulary vocabulary) : TokenModel(std::move(vocabulary)) {
  bmp_tokens_.assign(0x10000, kNoToken);
  for (const auto& [text, id] : this->vocabulary().ids()) {
    longest_text_ = std::max(longest_text_, text.size());
    if (!text.empty() && Utf8Bytes(text[0]) == text.size() && text.size() < 4) {
      bmp_tokens_[CodePointAt(text, 0)] = id;
    }
  }
  merges_to_itself_ = std::make_unique<std::atomic<Whole>[]>(this->vocabulary().id_end());
  byte_tokens_ = ByteTokens(this->vocabulary());
}

absl::Status Bpe::ReadOptions(const JsonNode& model) {
  QUIRE_RETURN_IF_ERROR(ReadDropout(model));
  QUIRE_RETURN_IF_ERROR(RefuseUnlessEmpty(model, "continuing_subword_prefix"));
  QUIRE_RETURN_IF_ERROR(RefuseUnlessEmpty(model, "end_of_word_suffix"));
  QUIRE_ASSIGN_OR_RETURN(byte_fallback_, model.BoolOr("byte_fallback", false));
  QUIRE_ASSIGN_OR_RETURN(fuse_unknown_, model.BoolOr("fuse_unk", false));
  QUIRE_ASSIGN_OR_RETURN(ignore_merges_, model.BoolOr("ignore_merges", false));
  const std::optional<JsonNode> unknown = model.Find("unk_token");
  if (!unknown.has_value()) return absl::OkStatus();
  has_unknown_ = true;
  QUIRE_ASSIGN_OR_RETURN(unknown_text_, unknown->String());
  // It may be missing where the alphabet is complete: GPT-2's file names "" here.
  unknown_ = vocabulary().Find(unknown_text_);
  return absl::OkStatus();
}

absl::Status Bpe::ReadMerges(const JsonNode& list) {
  dom::array merges;
  if (list.value().get(merges) != simdjson::SUCCESS) return list.Unexpected("an array of merges");
  merges_.Reserve(merges.size());
  starts_word_.assign(vocabulary().id_end(), true);
  size_t index = 0;
  uint32_t rank = 0;
  std::string both;
  for (const dom::element merge : merges) {
    const size_t at = index++;
    std::string_view line;
    if (merge.get(line) == simdjson::SUCCESS && absl::StartsWith(View(line), "#version")) continue;
    const std::optional<MergeText> text = ParseMerge(merge);
    if (!text.has_value()) {
      return list.Element(at, merge).Unexpected("two tokens, as \"a b\" or [\"a\", \"b\"]");
    }
    both.assign(text->left.data(), text->left.size());
    both.append(text->right.data(), text->right.size());
    for (const absl::string_view token : {text->left, text->right, absl::string_view(both)}) {
      if (vocabulary().Find(token) != kNoToken) continue;
      return list.Element(at, merge).Error(
          absl::StrCat("the merge's token ", Quoted(token), " is not in model.vocab"));
    }
    merges_.Set(vocabulary().Find(text->left), vocabulary().Find(text->right),
                {rank++, vocabulary().Find(both)});
    // See starts_word_ in bpe.h.
    const char32_t last = CodePointAt(text->left, PreviousCharacter(text->left, text->left.size()));
    const TokenId first = CharacterToken(text->right, 0);
    if (first != kNoToken && CodePointAt(text->right, 0) != last) starts_word_[first] = false;
  }
  return absl::OkStatus();
}

}  // namespace quire
