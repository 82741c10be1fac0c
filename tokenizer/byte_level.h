// GPT-2's alphabet: a printable character for each of the 256 bytes.
#ifndef QUIRE_TOKENIZER_BYTE_LEVEL_H_
#define QUIRE_TOKENIZER_BYTE_LEVEL_H_

#include <string>

#include "absl/strings/string_view.h"

namespace quire {

// Appends each byte's character: " a" becomes "\u0120a".
void AppendByteLevel(absl::string_view bytes, std::string* out);
// Appends the bytes that the characters of `text` (valid UTF-8) stand for; where one of them stands
// for none, the UTF-8 of the whole text.
void AppendBytesOf(absl::string_view text, std::string* out);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_BYTE_LEVEL_H_
