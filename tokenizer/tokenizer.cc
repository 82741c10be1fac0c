#include "tokenizer/tokenizer.h"

#include <simdjson.h>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/decoder.h"
#include "tokenizer/model.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/unicode.h"

namespace quire {

Tokenizer::Tokenizer() = default;
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(absl::string_view text,
                                                       bool add_special_tokens) const {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the text has ", text.size(), " bytes; at most ",
                                                   kMaxTextBytes, " are allowed"));
  }
  std::string repaired;
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    repaired = ReplaceInvalidUtf8(text);
    text = repaired;
  }
  std::vector<TokenId> ids;
  if (add_special_tokens) ids = post_processor_->prefix;
  QUIRE_RETURN_IF_ERROR(EncodeText(text, &ids));
  if (add_special_tokens) {
    ids.insert(ids.end(), post_processor_->suffix.begin(), post_processor_->suffix.end());
  }
  return ids;
}

// Added tokens -> normalise -> added tokens in their normalised form -> pre-tokenise -> the model.
absl::Status Tokenizer::EncodeText(absl::string_view text, std::vector<TokenId>* ids) const {
  CpuLimit cpu_limit = CpuLimit::ForText(text.size());
  const std::unique_ptr<PieceEncoder> encoder = model_->NewEncoder(&cpu_limit);
  for (const TextSpan& raw : added_->SplitRaw(text)) {
    if (raw.token != kNoToken) {
      ids->push_back(raw.token);
      continue;
    }
    NormalizedText normalized = {std::string(text.substr(raw.begin, raw.end - raw.begin)),
                                 raw.begin == 0, &cpu_limit};
    if (normalizer_ != nullptr) QUIRE_RETURN_IF_ERROR(normalizer_->Normalize(&normalized));
    for (const TextSpan& span : added_->SplitNormalized(normalized.text)) {
      if (span.token != kNoToken) {
        ids->push_back(span.token);
        continue;
      }
      Pieces pieces = {normalized.text.substr(span.begin, span.end - span.begin),
                       {{0, span.end - span.begin}},
                       normalized.at_start && span.begin == 0,
                       &cpu_limit};
      if (pre_tokenizer_ != nullptr) QUIRE_RETURN_IF_ERROR(pre_tokenizer_->Split(&pieces));
      for (const Pieces::Range& piece : pieces.ranges) {
        QUIRE_RETURN_IF_ERROR(encoder->Encode(pieces.View(piece), ids));
      }
    }
  }
  return absl::OkStatus();
}

std::string Tokenizer::Decode(absl::Span<const TokenId> ids, bool skip_special_tokens) const {
  DecodeStream stream = decoder_->NewStream(ByteRuns::kWhole);
  for (const TokenId id : ids) {
    const bool known = id >= 0 && id < vocab_size();
    if (!known || (skip_special_tokens && reads_as_special_[id])) continue;
    PushToken(id, &stream);
  }
  stream.Finish();
  return stream.Take();
}

void Tokenizer::PushToken(TokenId id, DecodeStream* stream) const {
  absl::string_view text = IdToToken(id);
  if (text.data() == nullptr) return;
  if (const auto it = decoded_text_.find(id); it != decoded_text_.end()) text = it->second;
  stream->Push(text);
}

std::optional<TokenId> Tokenizer::TokenToId(absl::string_view token) const {
  const AddedToken* added = added_->Find(token);
  const TokenId id = added != nullptr ? added->id : model_->vocabulary().Find(token);
  return id == kNoToken ? std::nullopt : std::optional<TokenId>(id);
}

absl::string_view Tokenizer::IdToToken(TokenId id) const {
  return id >= 0 && id < vocab_size() ? token_text_[id] : absl::string_view();
}

bool Tokenizer::IsSpecial(TokenId id) const {
  return id >= 0 && id < vocab_size() && is_special_[id];
}

}  // namespace quire
