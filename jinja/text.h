// Texts as Python's str has them: characters are code points. All texts are valid UTF-8.
#ifndef QUIRE_JINJA_TEXT_H_
#define QUIRE_JINJA_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace quire::jinja {

bool IsSpace(char32_t character);  // str.isspace

int64_t CountCharacters(absl::string_view text);
// Where character `index` begins; the text's size where it has no more than that many.
size_t ByteOf(absl::string_view text, int64_t index);
std::vector<absl::string_view> Characters(absl::string_view text);

// Without the characters of `set`, or without white space, at the sides.
absl::string_view Strip(absl::string_view text, std::optional<absl::string_view> set, bool left,
                        bool right);
// At white space; at most `max` splits where max >= 0; from the right if asked.
std::vector<absl::string_view> SplitWords(absl::string_view text, int64_t max, bool from_right);
// At each `separator`, which is not empty.
std::vector<absl::string_view> SplitAt(absl::string_view text, absl::string_view separator,
                                       int64_t max, bool from_right);
std::vector<absl::string_view> SplitLines(absl::string_view text, bool keep_ends);
// At most `max` replacements where max >= 0. The size it would have, and it.
int64_t SizeOfReplaced(absl::string_view text, absl::string_view from, absl::string_view to,
                       int64_t max);
std::string Replace(absl::string_view text, absl::string_view from, absl::string_view to,
                    int64_t max);
int64_t CountOf(absl::string_view text, absl::string_view part);

// Case as utf8proc maps it, with Python's longer forms of the sharp s and the dotted I.
std::string Upper(absl::string_view text);
std::string Lower(absl::string_view text);
std::string Capitalize(absl::string_view text);
std::string SwapCase(absl::string_view text);
std::string Title(absl::string_view text);        // str.title: letters after what is none
std::string FilterTitle(absl::string_view text);  // the title filter: after - ( { [ < and spaces

enum class CharacterClass { kAlpha, kDigit, kAlnum, kSpace, kUpper, kLower };
// str.isalpha and its like.
bool IsAll(absl::string_view text, CharacterClass wanted);

std::string Repr(absl::string_view text);  // in quotes, as repr writes it
std::string Repr(double value);            // the shortest that reads back
// As json.dumps writes it, in quotes.
void AppendJson(absl::string_view text, bool ensure_ascii, std::string& out);

// "&lt;" for "<" and so on.
std::string EscapeHtml(absl::string_view text);

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_TEXT_H_
