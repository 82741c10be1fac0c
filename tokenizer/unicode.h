// UTF-8, and the character classes that the components of tokenizer.json speak of.
//
// The classes are the `tokenizers` package's on every distribution: see unicode_data.h.
#ifndef QUIRE_TOKENIZER_UNICODE_H_
#define QUIRE_TOKENIZER_UNICODE_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace quire {

// Bytes of the character that starts with `lead`, in valid UTF-8.
inline size_t Utf8Bytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// The character at text[pos]; `text` is valid UTF-8 and has one there.
inline char32_t CodePointAt(absl::string_view text, size_t pos) {
  const auto byte = [&](size_t i) -> char32_t { return static_cast<unsigned char>(text[pos + i]); };
  const auto tail = [&](size_t i) { return byte(i) & 0x3F; };
  switch (Utf8Bytes(text[pos])) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1F) << 6 | tail(1);
    case 3:
      return (byte(0) & 0x0F) << 12 | tail(1) << 6 | tail(2);
    default:
      return (byte(0) & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3);
  }
}

// Where the character before text[pos] starts; pos > 0.
size_t PreviousCharacter(absl::string_view text, size_t pos);
void AppendUtf8(char32_t code_point, std::string* out);

enum class Utf8Kind { kValid, kInvalid, kUnfinished };

struct Utf8Sequence {
  Utf8Kind kind;
  size_t bytes;
};

// What starts at bytes[0]: a character, a maximal subpart of an ill-formed one, or a prefix of one
// that only the end of `bytes`, which is not empty, cuts off.
Utf8Sequence NextUtf8(absl::string_view bytes);

// Appends `bytes` with U+FFFD for every maximal subpart of an ill-formed sequence (the WHATWG rule,
// as Python's errors="replace"), except for the bytes at the end that the next ones might still
// complete: it returns how many those are, 0 to 3.
size_t AppendReplacingInvalid(absl::string_view bytes, std::string* out);
// All of `bytes`; an unfinished character at the end becomes U+FFFD too.
std::string ReplaceInvalidUtf8(absl::string_view bytes);

inline constexpr absl::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// "Lu", "Nd", ...; "Cn" where unassigned.
absl::string_view GeneralCategory(char32_t code_point);
bool IsWhitespace(char32_t code_point);   // White_Space
bool IsNumeric(char32_t code_point);      // N, as Rust's char::is_numeric
bool IsPunctuation(char32_t code_point);  // ASCII punctuation, and P of Unicode 7
bool IsWord(char32_t code_point);         // \w of UTS #18
// Whether PCRE2 may class it differently than the package, by its Unicode version or otherwise.
bool IsClassedDifferently(char32_t code_point);
// Whether Unicode 9 knew neither a decomposition nor a combining class of it, but a later one does.
bool IsInertInUnicode9(char32_t code_point);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_UNICODE_H_
