#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "tokenizer/unicode.h"

namespace quire {
namespace {

bool IsSingleWord(absl::string_view text, size_t begin, size_t end) {
  return !(begin > 0 && IsWord(CodePointAt(text, PreviousCharacter(text, begin)))) &&
         !(end < text.size() && IsWord(CodePointAt(text, end)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<const AddedTokens>> AddedTokens::Read(
    const std::optional<JsonNode>& list, const Vocabulary& model, const Normalizer* normalizer) {
  auto added = std::make_unique<AddedTokens>();
  if (!list.has_value()) return added;
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> elements, list->Elements());
  auto next_id = static_cast<TokenId>(model.size());
  for (const JsonNode& element : elements) {
    QUIRE_RETURN_IF_ERROR(added->Add(element, model, normalizer, &next_id));
  }
  QUIRE_RETURN_IF_ERROR(added->MakeGroup(*list, false, &added->raw_));
  QUIRE_RETURN_IF_ERROR(added->MakeGroup(*list, true, &added->normalized_));
  return added;
}

absl::Status AddedTokens::Add(const JsonNode& node, const Vocabulary& model,
                              const Normalizer* normalizer, TokenId* next_id) {
  AddedToken token;
  QUIRE_ASSIGN_OR_RETURN(const JsonNode content, node.Member("content"));
  QUIRE_ASSIGN_OR_RETURN(token.content, content.String());
  if (token.content.empty()) return absl::OkStatus();  // the package skips it too
  QUIRE_ASSIGN_OR_RETURN(const JsonNode id_node, node.Member("id"));
  QUIRE_ASSIGN_OR_RETURN(const int64_t id, id_node.Integer(0, kMaxTokenId));
  QUIRE_ASSIGN_OR_RETURN(token.single_word, node.BoolOr("single_word", false));
  QUIRE_ASSIGN_OR_RETURN(token.lstrip, node.BoolOr("lstrip", false));
  QUIRE_ASSIGN_OR_RETURN(token.rstrip, node.BoolOr("rstrip", false));
  QUIRE_ASSIGN_OR_RETURN(token.special, node.BoolOr("special", false));
  QUIRE_ASSIGN_OR_RETURN(token.normalized, node.BoolOr("normalized", !token.special));

  const auto [known, is_new] = index_.try_emplace(token.content, tokens_.size());
  const TokenId in_model = model.Find(token.content);
  const TokenId expected = in_model != kNoToken ? in_model
                           : is_new             ? (*next_id)++
                                                : tokens_[known->second].id;
  if (id != expected) {
    return id_node.Unexpected(absl::StrCat(expected, ", the id of ", Quoted(token.content),
                                           " by model.vocab or the order of the added tokens"));
  }
  if (in_model == kNoToken && model.Has(expected)) {
    return id_node.Unexpected(absl::StrCat("an id that is free: it is ",
                                           Quoted(model.Text(expected)), " in model.vocab"));
  }
  token.id = expected;
  CpuLimit cpu_limit = CpuLimit::ForText(token.content.size());
  NormalizedText decoded = {token.content, false, &cpu_limit};
  if (token.normalized && normalizer != nullptr) {
    QUIRE_RETURN_IF_ERROR(normalizer->Normalize(&decoded));
  }
  token.decoded = std::move(decoded.text);
  if (is_new) {
    tokens_.push_back(std::move(token));
  } else {
    tokens_[known->second] = std::move(token);
  }
  return absl::OkStatus();
}

absl::Status AddedTokens::MakeGroup(const JsonNode& list, bool normalized, Group* group) const {
  std::vector<absl::string_view> patterns;
  absl::flat_hash_map<absl::string_view, size_t> seen;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    if (token.normalized != normalized) continue;
    if (token.decoded.empty()) {
      return list.Error(absl::StrCat(Quoted(token.content), " is empty once normalised"));
    }
    const auto [other, is_new] = seen.try_emplace(token.decoded, i);
    if (!is_new) {
      return list.Error(absl::StrCat(Quoted(tokens_[other->second].content), " and ",
                                     Quoted(token.content), " are the same once normalised"));
    }
    group->tokens.push_back(i);
    patterns.push_back(token.decoded);
  }
  if (!patterns.empty()) group->matcher = std::make_unique<MultiPattern>(patterns);
  return absl::OkStatus();
}

const AddedToken* AddedTokens::Find(absl::string_view content) const {
  const auto it = index_.find(content);
  return it == index_.end() ? nullptr : &tokens_[it->second];
}

std::vector<TextSpan> AddedTokens::Split(const Group& group, absl::string_view text) const {
  std::vector<TextSpan> spans;
  size_t done = 0;       // text before it is in `spans`
  size_t space_end = 0;  // of the white space that rstrip has looked through
  if (group.matcher != nullptr) {
    for (const MultiPattern::Match& match : group.matcher->FindAll(text)) {
      const AddedToken& token = tokens_[group.tokens[match.pattern]];
      size_t begin = match.begin;
      size_t end = match.end;
      if (token.single_word && !IsSingleWord(text, begin, end)) continue;
      while (token.lstrip && begin > done) {
        const size_t before = PreviousCharacter(text, begin);
        if (!IsWhitespace(CodePointAt(text, before))) break;
        begin = before;
      }
      if (token.rstrip) {
        // Of tokens that are white space themselves, not each may look through the same long run.
        end = std::max(end, space_end);
        while (end < text.size() && IsWhitespace(CodePointAt(text, end))) {
          end += Utf8Bytes(text[end]);
        }
        space_end = end;
      }
      if (done < begin) spans.push_back({done, begin, kNoToken});
      spans.push_back({begin, end, token.id});
      done = end;
    }
  }
  if (done < text.size()) spans.push_back({done, text.size(), kNoToken});
  return spans;
}

}  // namespace quire
