#include "tokenizer/detokenizer.h"

#include "tokenizer/decoder.h"

namespace quire {

IncrementalDetokenizer::IncrementalDetokenizer(const Tokenizer* tokenizer, bool skip_special_tokens)
    : tokenizer_(tokenizer),
      skip_special_tokens_(skip_special_tokens),
      stream_(
          std::make_unique<DecodeStream>(tokenizer->decoder_->NewStream(ByteRuns::kStreaming))) {}

IncrementalDetokenizer::~IncrementalDetokenizer() = default;
IncrementalDetokenizer::IncrementalDetokenizer(IncrementalDetokenizer&&) noexcept = default;
IncrementalDetokenizer& IncrementalDetokenizer::operator=(IncrementalDetokenizer&&) noexcept =
    default;

std::string IncrementalDetokenizer::Append(TokenId id) {
  if (skip_special_tokens_ && tokenizer_->IsSpecial(id)) return {};
  tokenizer_->PushToken(id, stream_.get());
  return stream_->Take();
}

std::string IncrementalDetokenizer::Finish() {
  stream_->Finish();
  return stream_->Take();
}

}  // namespace quire
