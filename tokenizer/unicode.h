// Ill-formed UTF-8, and the character classes that the components of tokenizer.json speak of.
//
// The classes are the `tokenizers` package's on every distribution: see unicode_data.h.
#ifndef QUIRE_TOKENIZER_UNICODE_H_
#define QUIRE_TOKENIZER_UNICODE_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "core/utf8.h"

namespace quire {

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
bool IsWhitespace(char32_t code_point);      // White_Space
bool IsNumeric(char32_t code_point);         // N, as Rust's char::is_numeric
bool IsPunctuation(char32_t code_point);     // ASCII punctuation, and P of Unicode 7
bool IsWord(char32_t code_point);            // \w of UTS #18
bool IsControl(char32_t code_point);         // Cc, Co, and Cf of Unicode 7
bool IsNonspacingMark(char32_t code_point);  // Mn of Unicode 7
bool IsMark(char32_t code_point);            // M of Unicode 9
// Appends the lowercase form, of Unicode 17 and without regard to what is around.
void AppendLowercase(char32_t code_point, std::string* out);
// Whether PCRE2 may class it differently than the package, by its Unicode version or otherwise.
bool IsClassedDifferently(char32_t code_point);
// Whether Unicode 9 knew neither a decomposition nor a combining class of it, but a later one does.
bool IsInertInUnicode9(char32_t code_point);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_UNICODE_H_
