// The options that Metaspace has as a pre-tokeniser and as a decoder.
#ifndef QUIRE_TOKENIZER_METASPACE_H_
#define QUIRE_TOKENIZER_METASPACE_H_

#include <string>

#include "absl/status/statusor.h"
#include "tokenizer/json.h"

namespace quire {

struct Metaspace {
  // Where a mark is put before the text: each piece, the one at the start of the input, none.
  enum class Prepend { kAlways, kFirst, kNever };

  std::string mark;  // stands for " "; one character
  Prepend prepend = Prepend::kAlways;
};

absl::StatusOr<Metaspace> ReadMetaspace(const JsonNode& node);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_METASPACE_H_
