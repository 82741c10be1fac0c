#include "server/prompt_pieces.h"

#include <algorithm>

#include "server/limits.h"
#include "server/wire.h"

namespace quire {
namespace {

// The largest end at most `limit` bytes from `begin` that splits no character.
size_t PieceEnd(const std::string& text, size_t begin, size_t limit) {
  if (text.size() - begin <= limit) return text.size();
  size_t end = begin + limit;
  while ((static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  return end;
}

}  // namespace

std::optional<v1::GenerateEvent> PromptPieces::Next() {
  v1::GenerateEvent event;
  v1::Prompt& piece = *event.mutable_prompt();
  if (text_begin_ < text_.size()) {
    const size_t end = PieceEnd(text_, text_begin_, kPromptPieceBytes);
    piece.set_text(text_.substr(text_begin_, end - text_begin_));
    text_begin_ = end;
  } else if (!ids_.empty()) {
    constexpr size_t kIdsPerPiece = kPromptPieceBytes / 5;  // a varint takes 5 bytes at most
    for (TokenId id : ids_.subspan(0, kIdsPerPiece)) {
      piece.add_token_ids(static_cast<uint32_t>(id));
    }
    ids_.remove_prefix(std::min(ids_.size(), kIdsPerPiece));
  } else if (logprobs_begin_ < logprobs_.size()) {
    const size_t bytes_each = 16 * (1 + logprobs_[logprobs_begin_].top.size());
    const size_t per_piece = std::max<size_t>(1, kPromptPieceBytes / bytes_each);
    const size_t end = std::min(logprobs_begin_ + per_piece, logprobs_.size());
    for (; logprobs_begin_ < end; ++logprobs_begin_) {
      ToWire(logprobs_[logprobs_begin_], *piece.add_logprobs());
    }
  } else {
    return std::nullopt;
  }
  return event;
}

}  // namespace quire
