// Makes a Tokenizer of a tokenizer.json.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "core/file.h"
#include "core/status_macros.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/decoder.h"
#include "tokenizer/json.h"
#include "tokenizer/model.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace quire {
absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromFile(const std::string& path) {
  QUIRE_ASSIGN_OR_RETURN(const std::string json, ReadFile(path));
  return FromJson(json, path);
}

absl::StatusOr<std::unique_ptr<const Tokenizer>> Tokenizer::FromJson(absl::string_view json,
                                                                     absl::string_view name) {
  QUIRE_ASSIGN_OR_RETURN(const auto document, JsonDocument::FromText(json, name));
  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer());
  QUIRE_RETURN_IF_ERROR(tokenizer->Read(document->root()));
  return tokenizer;
}

absl::Status Tokenizer::Read(const JsonNode& root) {
  if (const std::optional<JsonNode> node = root.Find("version")) {
    QUIRE_ASSIGN_OR_RETURN(const std::string version, node->String());
    if (version != "1.0") return node->Unexpected("\"1.0\", the only version known");
  }
  QUIRE_ASSIGN_OR_RETURN(const JsonNode model, root.Member("model"));
  QUIRE_ASSIGN_OR_RETURN(model_, ReadModel(model));
  if (const std::optional<JsonNode> node = root.Find("normalizer")) {
    QUIRE_ASSIGN_OR_RETURN(normalizer_, ReadNormalizer(*node));
  }
  if (const std::optional<JsonNode> node = root.Find("pre_tokenizer")) {
    QUIRE_ASSIGN_OR_RETURN(pre_tokenizer_, ReadPreTokenizer(*node));
  }
  QUIRE_ASSIGN_OR_RETURN(added_, AddedTokens::Read(root.Find("added_tokens"), model_->vocabulary(),
                                                   normalizer_.get()));
  FillTokenTable();
  PostProcessor post_processor;
  if (const std::optional<JsonNode> node = root.Find("post_processor")) {
    QUIRE_ASSIGN_OR_RETURN(post_processor, ReadPostProcessor(*node, vocab_size()));
  }
  post_processor_ = std::make_unique<const PostProcessor>(std::move(post_processor));
  QUIRE_ASSIGN_OR_RETURN(TokenDecoder decoder, TokenDecoder::Read(root.Find("decoder")));
  decoder_ = std::make_unique<const TokenDecoder>(std::move(decoder));
  return absl::OkStatus();
}

void Tokenizer::FillTokenTable() {
  const Vocabulary& model = model_->vocabulary();
  TokenId end = model.id_end();
  for (const AddedToken& token : added_->tokens()) end = std::max(end, token.id + 1);
  token_text_.resize(end);
  is_special_.resize(end);
  reads_as_special_.resize(end);
  for (TokenId id = 0; id < model.id_end(); ++id) token_text_[id] = model.Text(id);
  for (const AddedToken& token : added_->tokens()) {
    token_text_[token.id] = token.content;
    if (token.decoded != token.content) decoded_text_[token.id] = token.decoded;
    is_special_[token.id] = token.special;
    // The package asks whether what the decoder reads is the content of a special token.
    const AddedToken* same = added_->Find(token.decoded);
    reads_as_special_[token.id] = same != nullptr && same->special;
  }
}

}  // namespace quire
