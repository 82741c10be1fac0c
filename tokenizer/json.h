// What tokenizer.json holds beyond the usual JSON values.
#ifndef QUIRE_TOKENIZER_JSON_H_
#define QUIRE_TOKENIZER_JSON_H_

#include "absl/status/statusor.h"
#include "core/json.h"

namespace quire {

// A string of one character.
absl::StatusOr<char32_t> ReadCharacter(const JsonNode& node);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_JSON_H_
