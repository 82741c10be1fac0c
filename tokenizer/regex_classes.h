// Oniguruma's classes of characters, as the items of a PCRE2 class: what stands between [ and ].
#ifndef QUIRE_TOKENIZER_REGEX_CLASSES_H_
#define QUIRE_TOKENIZER_REGEX_CLASSES_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace quire {

// How a translated pattern writes its classes.
enum class ClassForm {
  kShort,  // as PCRE2's own: right where no character of the text IsClassedDifferently
  kExact,  // written out: right on any text, but slower
};

// Both ends included.
std::string RangeItem(char32_t first, char32_t last);
// \p{name}: a general category or Han; nullopt for any other.
std::optional<std::string> PropertyItems(absl::string_view name, ClassForm form);
std::string WhitespaceItems(ClassForm form);  // \s
// \w. Outside of classes, and for \b, Oniguruma counts six numbers of Latin-1 in.
enum class Place { kInClass, kOutsideClass };
std::string WordItems(ClassForm form, Place place);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_REGEX_CLASSES_H_
