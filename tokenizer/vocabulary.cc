#include "tokenizer/vocabulary.h"

#include <cstring>

#include "core/check.h"

namespace quire {

bool Vocabulary::Add(absl::string_view text, TokenId id) {
  QUIRE_CHECK_LE(0, id);
  QUIRE_CHECK_LE(id, kMaxTokenId);
  if (ids_.contains(text)) return false;
  QUIRE_CHECK_LE(text.size(), bytes_left_);
  char* copy = texts_.get() + bytes_used_;
  std::memcpy(copy, text.data(), text.size());
  bytes_used_ += text.size();
  bytes_left_ -= text.size();
  if (id >= id_end()) text_of_.resize(static_cast<size_t>(id) + 1);
  const absl::string_view kept(copy, text.size());
  if (!Has(id)) text_of_[id] = kept;
  ids_.emplace(kept, id);
  return true;
}

}  // namespace quire
