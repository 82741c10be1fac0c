// The model's tokens and their ids.
#ifndef QUIRE_TOKENIZER_VOCABULARY_H_
#define QUIRE_TOKENIZER_VOCABULARY_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "core/ids.h"

namespace quire {

// Ids index tables, so a file must not make them huge; the largest known vocabularies have 2^18.
inline constexpr TokenId kMaxTokenId = (1 << 22) - 1;

// Owns the texts. Not thread-safe while tokens are added.
class Vocabulary {
 public:
  // Room for the texts of all tokens to come.
  explicit Vocabulary(size_t text_bytes) : texts_(new char[text_bytes]), bytes_left_(text_bytes) {}

  // False, and nothing happens, where the text is taken. Several may have one id, in
  // [0, kMaxTokenId], which then stands for the first.
  bool Add(absl::string_view text, TokenId id);

  TokenId Find(absl::string_view text) const {
    const auto it = ids_.find(text);
    return it == ids_.end() ? kNoToken : it->second;
  }
  // Empty where there is no such token.
  absl::string_view Text(TokenId id) const {
    return id >= 0 && id < id_end() ? text_of_[id] : absl::string_view();
  }
  bool Has(TokenId id) const { return Text(id).data() != nullptr; }
  TokenId id_end() const { return static_cast<TokenId>(text_of_.size()); }  // highest id + 1
  size_t size() const { return ids_.size(); }
  // The id of each text, in no order.
  const absl::flat_hash_map<absl::string_view, TokenId>& ids() const { return ids_; }

 private:
  std::unique_ptr<char[]> texts_;
  size_t bytes_used_ = 0;
  size_t bytes_left_;
  absl::flat_hash_map<absl::string_view, TokenId> ids_;
  std::vector<absl::string_view> text_of_;  // [id_end]; null data where there is none
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_VOCABULARY_H_
