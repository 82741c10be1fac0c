// Upper and lower case, and the classes of characters.
#include <utf8proc.h>

#include "core/utf8.h"
#include "jinja/text.h"

namespace quire::jinja {
namespace {

utf8proc_category_t Category(char32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

bool IsLetter(char32_t character) {
  const auto category = Category(character);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

char32_t ToUpper(char32_t c) {
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}
char32_t ToLower(char32_t c) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}
char32_t ToTitle(char32_t c) {
  return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}
bool IsCased(char32_t c) { return ToLower(c) != c || ToUpper(c) != c || c == U'ß'; }

void AppendUpper(char32_t c, std::string& out) {
  if (c == U'ß') {
    out += "SS";
  } else {
    AppendUtf8(ToUpper(c), &out);
  }
}

void AppendTitle(char32_t c, std::string& out) {
  if (c == U'ß') {
    out += "Ss";
  } else {
    AppendUtf8(ToTitle(c), &out);
  }
}

// The sigma at a word's end has a form of its own.
bool EndsWord(absl::string_view text, size_t begin, size_t end) {
  const bool before = begin > 0 && IsCased(CodePointAt(text, PreviousCharacter(text, begin)));
  const bool after = end < text.size() && IsCased(CodePointAt(text, end));
  return before && !after;
}

void AppendLower(absl::string_view text, size_t pos, std::string& out) {
  const char32_t c = CodePointAt(text, pos);
  if (c == U'İ') {
    out += "i\xCC\x87";
  } else if (c == U'Σ' && EndsWord(text, pos, pos + Utf8Bytes(text[pos]))) {
    AppendUtf8(U'ς', &out);
  } else {
    AppendUtf8(ToLower(c), &out);
  }
}

template <typename Visit>
void ForEachCharacter(absl::string_view text, Visit visit) {
  for (size_t pos = 0; pos < text.size(); pos += Utf8Bytes(text[pos])) visit(pos);
}

// First characters as titles, the others lower. `begins` tells by the character before.
template <typename Begins>
std::string TitleWhere(absl::string_view text, Begins begins) {
  std::string out;
  bool is_first = true;
  ForEachCharacter(text, [&](size_t pos) {
    const char32_t c = CodePointAt(text, pos);
    if (is_first) {
      AppendTitle(c, out);
    } else {
      AppendLower(text, pos, out);
    }
    is_first = begins(c);
  });
  return out;
}

}  // namespace

std::string Upper(absl::string_view text) {
  std::string out;
  ForEachCharacter(text, [&](size_t pos) { AppendUpper(CodePointAt(text, pos), out); });
  return out;
}

std::string Lower(absl::string_view text) {
  std::string out;
  ForEachCharacter(text, [&](size_t pos) { AppendLower(text, pos, out); });
  return out;
}

std::string Capitalize(absl::string_view text) {
  return TitleWhere(text, [](char32_t) { return false; });
}

std::string SwapCase(absl::string_view text) {
  std::string out;
  ForEachCharacter(text, [&](size_t pos) {
    const char32_t c = CodePointAt(text, pos);
    if (ToLower(c) != c) {
      AppendLower(text, pos, out);
    } else {
      AppendUpper(c, out);
    }
  });
  return out;
}

std::string Title(absl::string_view text) {
  return TitleWhere(text, [](char32_t c) { return !IsCased(c); });
}

std::string FilterTitle(absl::string_view text) {
  std::string out;
  bool is_first = true;
  ForEachCharacter(text, [&](size_t pos) {
    const char32_t c = CodePointAt(text, pos);
    if (is_first) {
      AppendUpper(c, out);
    } else {
      AppendLower(text, pos, out);
    }
    is_first = IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  });
  return out;
}

bool IsAll(absl::string_view text, CharacterClass wanted) {
  bool all = true;
  bool any = false;
  ForEachCharacter(text, [&](size_t pos) {
    const char32_t c = CodePointAt(text, pos);
    const bool is_digit = Category(c) == UTF8PROC_CATEGORY_ND;
    const bool is_number = is_digit || Category(c) == UTF8PROC_CATEGORY_NL;
    switch (wanted) {
      case CharacterClass::kAlpha:
        any = true;
        all = all && IsLetter(c);
        break;
      case CharacterClass::kDigit:
        any = true;
        all = all && is_digit;
        break;
      case CharacterClass::kAlnum:
        any = true;
        all = all && (IsLetter(c) || is_number);
        break;
      case CharacterClass::kSpace:
        any = true;
        all = all && IsSpace(c);
        break;
      case CharacterClass::kUpper:
        any = any || ToLower(c) != c;
        all = all && (ToUpper(c) == c && c != U'ß');
        break;
      case CharacterClass::kLower:
        any = any || ToUpper(c) != c || c == U'ß';
        all = all && ToLower(c) == c;
        break;
    }
  });
  return any && all;
}

}  // namespace quire::jinja
