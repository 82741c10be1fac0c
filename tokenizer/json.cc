#include "tokenizer/json.h"

#include "core/status_macros.h"
#include "tokenizer/unicode.h"

namespace quire {

absl::StatusOr<char32_t> ReadCharacter(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const std::string text, node.String());
  if (text.empty() || Utf8Bytes(text[0]) != text.size()) {
    return node.Unexpected("a string of one character");
  }
  return CodePointAt(text, 0);
}

}  // namespace quire
