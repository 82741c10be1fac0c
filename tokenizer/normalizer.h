// The normalisers of tokenizer.json: what happens to text before it is split.
//
// Supported: BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend,
// Replace (String or Regex), Sequence, Strip, StripAccents.
#ifndef QUIRE_TOKENIZER_NORMALIZER_H_
#define QUIRE_TOKENIZER_NORMALIZER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tokenizer/cpu_limit.h"
#include "tokenizer/json.h"

namespace quire {

struct NormalizedText {
  std::string text;  // valid UTF-8
  // Whether `text` begins with what became of the first character of the whole input (Metaspace's
  // prepend_scheme "first" asks).
  bool at_start;
  CpuLimit* cpu_limit;  // of the whole Encode; borrowed
};

// Immutable and thread-safe.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // INVALID_ARGUMENT when a Regex of the file meets its limits on this text.
  virtual absl::Status Normalize(NormalizedText* text) const = 0;
};

absl::StatusOr<std::unique_ptr<const Normalizer>> ReadNormalizer(const JsonNode& node);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_NORMALIZER_H_
