// The normalisers that look at single characters or clusters of them.
#ifndef QUIRE_TOKENIZER_TEXT_NORMALIZERS_H_
#define QUIRE_TOKENIZER_TEXT_NORMALIZERS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "tokenizer/json.h"
#include "tokenizer/normalizer.h"

namespace quire {

// Each character's lowercase form.
std::unique_ptr<const Normalizer> MakeLowercase();
// Drops the marks (a decomposition before it makes them of accented letters).
std::unique_ptr<const Normalizer> MakeStripAccents();
// SentencePiece's first step: drops control characters, makes spaces of what stands for one.
std::unique_ptr<const Normalizer> MakeNmt();
// BERT's: clean_text, handle_chinese_chars, strip_accents (null: as lowercase), lowercase.
absl::StatusOr<std::unique_ptr<const Normalizer>> ReadBertNormalizer(const JsonNode& node);
// SentencePiece's rules, in base64: see Charsmap.
absl::StatusOr<std::unique_ptr<const Normalizer>> ReadPrecompiled(const JsonNode& node);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_TEXT_NORMALIZERS_H_
