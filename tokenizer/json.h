// What tokenizer.json holds beyond the usual JSON values.
#ifndef QUIRE_TOKENIZER_JSON_H_
#define QUIRE_TOKENIZER_JSON_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/json.h"

namespace quire {

// Of simdjson's strings.
inline absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// A string of one character.
absl::StatusOr<char32_t> ReadCharacter(const JsonNode& node);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_JSON_H_
