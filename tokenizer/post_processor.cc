#include "tokenizer/post_processor.h"

#include <optional>
#include <string>
#include <utility>

#include "core/status_macros.h"

namespace quire {
namespace {

// Appends the ids of special_tokens[name].
absl::Status AppendIds(const JsonNode& special_tokens, const JsonNode& name_node, TokenId id_end,
                       std::vector<TokenId>* ids) {
  QUIRE_ASSIGN_OR_RETURN(const std::string name, name_node.String());
  const std::optional<JsonNode> token = special_tokens.Find(name);
  if (!token.has_value()) return name_node.Unexpected("a key of special_tokens");
  QUIRE_ASSIGN_OR_RETURN(const JsonNode list, token->Member("ids"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> elements, list.Elements());
  for (const JsonNode& element : elements) {
    QUIRE_ASSIGN_OR_RETURN(const int64_t id, element.Integer(0, id_end - 1));
    ids->push_back(static_cast<TokenId>(id));
  }
  return absl::OkStatus();
}

// Only "single" matters: a server has no pairs of texts.
absl::StatusOr<PostProcessor> ReadTemplate(const JsonNode& node, TokenId id_end) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode single, node.Member("single"));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode special_tokens, node.Member("special_tokens"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> pieces, single.Elements());
  PostProcessor out;
  bool after_text = false;
  for (const JsonNode& piece : pieces) {
    if (const std::optional<JsonNode> special = piece.Find("SpecialToken")) {
      QUIRE_ASSIGN_OR_RETURN(const JsonNode name, special->Member("id"));
      QUIRE_RETURN_IF_ERROR(
          AppendIds(special_tokens, name, id_end, after_text ? &out.suffix : &out.prefix));
      continue;
    }
    QUIRE_ASSIGN_OR_RETURN(const JsonNode sequence, piece.Member("Sequence"));
    QUIRE_ASSIGN_OR_RETURN(const JsonNode id_node, sequence.Member("id"));
    QUIRE_ASSIGN_OR_RETURN(const std::string id, id_node.String());
    if (id != "A") return id_node.Unexpected("\"A\", the text");
    if (after_text) return piece.Error("the text stands in the template twice");
    after_text = true;
  }
  if (!after_text) return single.Error("the text (Sequence A) is missing in the template");
  return out;
}

// Of ["[SEP]", 102].
absl::Status ReadTokenPair(const JsonNode& node, TokenId id_end, std::vector<TokenId>* ids) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> pair, node.Elements());
  if (pair.size() != 2) return node.Unexpected("a token and its id, as [\"[SEP]\", 102]");
  QUIRE_ASSIGN_OR_RETURN(const int64_t id, pair[1].Integer(0, id_end - 1));
  ids->push_back(static_cast<TokenId>(id));
  return absl::OkStatus();
}

// BERT's and RoBERTa's, from before the templates.
absl::StatusOr<PostProcessor> ReadClsAndSep(const JsonNode& node, TokenId id_end) {
  PostProcessor out;
  QUIRE_ASSIGN_OR_RETURN(const JsonNode cls, node.Member("cls"));
  QUIRE_RETURN_IF_ERROR(ReadTokenPair(cls, id_end, &out.prefix));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode sep, node.Member("sep"));
  QUIRE_RETURN_IF_ERROR(ReadTokenPair(sep, id_end, &out.suffix));
  return out;
}

absl::StatusOr<PostProcessor> ReadSequence(const JsonNode& node, TokenId id_end) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode list, node.Member("processors"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> elements, list.Elements());
  PostProcessor out;
  for (const JsonNode& element : elements) {
    // Each wraps what the ones before it have made.
    QUIRE_ASSIGN_OR_RETURN(const PostProcessor step, ReadPostProcessor(element, id_end));
    out.prefix.insert(out.prefix.begin(), step.prefix.begin(), step.prefix.end());
    out.suffix.insert(out.suffix.end(), step.suffix.begin(), step.suffix.end());
  }
  return out;
}

}  // namespace

absl::StatusOr<PostProcessor> ReadPostProcessor(const JsonNode& node, TokenId id_end) {
  QUIRE_ASSIGN_OR_RETURN(const std::string type, node.Type());
  if (type == "TemplateProcessing") return ReadTemplate(node, id_end);
  if (type == "Sequence") return ReadSequence(node, id_end);
  if (type == "ByteLevel") return PostProcessor();
  if (type == "BertProcessing" || type == "RobertaProcessing") return ReadClsAndSep(node, id_end);
  return node.UnexpectedType(
      "one of BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing");
}

}  // namespace quire
