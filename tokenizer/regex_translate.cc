// Oniguruma's syntax to PCRE2's: see TranslatePattern in regex.h.
//
// Everything that the two read differently is either written out (classes and properties, whose
// members depend on the library's Unicode version), or refused. Groups capture nothing: nobody
// asks.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/status_macros.h"
#include "tokenizer/json.h"
#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_data.h"

namespace quire {
namespace {

// Patterns of known models that backtrack quadratically, and the same without: a match of \s+$ can
// start only where its run of white space does.
constexpr std::array<std::array<absl::string_view, 2>, 1> kLinearForms = {{
    {R"(\s+$)", R"((?<!\s)\s+$)"},
}};

constexpr absl::string_view kCategories[] = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N",  "Nd", "Nl", "No", "P", "Pc",
    "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp"};

// White_Space: PCRE2's \s has U+180E too.
constexpr absl::string_view kWhitespaceItems =
    R"(\t-\r\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

std::string ClassRange(char32_t first, char32_t last) {
  const auto code_point = [](char32_t c) {
    return absl::StrCat("\\x{", absl::Hex(static_cast<uint32_t>(c)), "}");
  };
  return first == last ? code_point(first) : absl::StrCat(code_point(first), "-", code_point(last));
}

// The items of a PCRE2 class that has the members of the general category.
std::string CategoryItems(absl::string_view category) {
  std::string items = absl::StrCat("\\p{", category, "}");
  for (const CategoryRange& range : kAssignedSinceUnicode14) {
    if (absl::StartsWith(range.category, category)) {
      absl::StrAppend(&items, ClassRange(range.first, range.last));
    }
  }
  return items;
}

// A set of characters: a PCRE2 class's items, or all but those.
struct CharacterSet {
  std::string items;
  bool negated = false;

  std::string Class() const { return absl::StrCat(negated ? "[^" : "[", items, "]"); }
};

class Translator {
 public:
  explicit Translator(absl::string_view pattern) : pattern_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (!AtEnd()) QUIRE_RETURN_IF_ERROR(Atom());
    return std::move(out_);
  }

 private:
  bool AtEnd() const { return pos_ == pattern_.size(); }
  absl::string_view Rest() const { return pattern_.substr(pos_); }
  bool Skip(absl::string_view text) {
    if (!absl::StartsWith(Rest(), text)) return false;
    pos_ += text.size();
    return true;
  }
  char32_t NextCodePoint() {
    const char32_t code_point = CodePointAt(pattern_, pos_);
    pos_ += Utf8Bytes(pattern_[pos_]);
    return code_point;
  }
  absl::Status Unsupported(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is not supported in a pattern (at byte ", pos_, ")"));
  }

  absl::Status Atom();
  absl::Status Group();
  absl::Status Repeat();
  absl::StatusOr<std::string> Class();
  absl::Status ClassItem(std::string* items, std::vector<std::string>* negated);
  // After a backslash. Either a set (\s, \p{L}, ...) or one character.
  absl::StatusOr<bool> EscapedSet(CharacterSet* set);
  absl::StatusOr<char32_t> EscapedCharacter();
  void Literal(char32_t code_point);

  absl::string_view pattern_;
  size_t pos_ = 0;
  std::string out_;
};

absl::Status Translator::Atom() {
  const char c = pattern_[pos_];
  switch (c) {
    case '(':
      return Group();
    case '[': {
      QUIRE_ASSIGN_OR_RETURN(const std::string text, Class());
      out_ += text;
      return absl::OkStatus();
    }
    case '*':
    case '+':
    case '?':
    case '{':
      return Repeat();
    case ')':
    case '|':
    case '.':
    case '^':
    case '$':
      out_ += c;
      ++pos_;
      return absl::OkStatus();
    case '\\':
      break;
    default:
      Literal(NextCodePoint());
      return absl::OkStatus();
  }
  for (const absl::string_view anchor : {"\\A", "\\z", "\\Z"}) {
    if (Skip(anchor)) {
      absl::StrAppend(&out_, anchor);
      return absl::OkStatus();
    }
  }
  ++pos_;
  CharacterSet set;
  QUIRE_ASSIGN_OR_RETURN(const bool is_set, EscapedSet(&set));
  if (is_set) {
    out_ += set.Class();
    return absl::OkStatus();
  }
  QUIRE_ASSIGN_OR_RETURN(const char32_t code_point, EscapedCharacter());
  Literal(code_point);
  return absl::OkStatus();
}

void Translator::Literal(char32_t code_point) {
  if (code_point < 0x80 && !absl::ascii_isalnum(static_cast<unsigned char>(code_point))) {
    out_ += '\\';
  }
  AppendUtf8(code_point, &out_);
}

absl::Status Translator::Group() {
  for (const absl::string_view open : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:"}) {
    if (Skip(open)) {
      absl::StrAppend(&out_, open);
      return absl::OkStatus();
    }
  }
  // Further in, Oniguruma ends the option at the next "|".
  if (pos_ == 0 && Skip("(?i)")) {
    out_ += "(?i)";
    return absl::OkStatus();
  }
  if (absl::StartsWith(Rest(), "(?")) {
    return Unsupported(Quoted(Rest().substr(0, 3)));
  }
  ++pos_;
  out_ += "(?:";
  return absl::OkStatus();
}

absl::Status Translator::Repeat() {
  const size_t begin = pos_;
  const auto number = [this] {
    const size_t from = pos_;
    while (!AtEnd() && absl::ascii_isdigit(static_cast<unsigned char>(pattern_[pos_]))) ++pos_;
    return pos_ > from;
  };
  if (Skip("{")) {
    const bool low = number();
    const bool comma = Skip(",");
    const bool high = comma && number();
    if (!Skip("}") || !low) {
      if (comma || low) return Unsupported("an incomplete interval");
      pos_ = begin + 1;
      Literal('{');
      return absl::OkStatus();
    }
    // Oniguruma reads {n}? as "n times or not at all" and {n,m}+ as a repeat of the repeat.
    if (absl::StartsWith(Rest(), "+") || (!comma && absl::StartsWith(Rest(), "?"))) {
      return Unsupported("an interval followed by \"+\" or \"?\"");
    }
    if (high || comma) Skip("?");
  } else {
    ++pos_;
    if (!Skip("?")) Skip("+");
  }
  if (!AtEnd() && absl::StrContains("*+?", pattern_.substr(pos_, 1))) {
    return Unsupported("a repeat of a repeat");
  }
  absl::StrAppend(&out_, pattern_.substr(begin, pos_ - begin));
  return absl::OkStatus();
}

absl::StatusOr<bool> Translator::EscapedSet(CharacterSet* set) {
  if (AtEnd()) return Unsupported("a backslash at the end");
  const char c = pattern_[pos_];
  set->negated = absl::ascii_isupper(static_cast<unsigned char>(c));
  switch (absl::ascii_tolower(static_cast<unsigned char>(c))) {
    case 's':
      set->items = std::string(kWhitespaceItems);
      break;
    case 'd':
      set->items = CategoryItems("Nd");
      break;
    case 'p': {
      ++pos_;
      if (!Skip("{")) return Unsupported("\\p without braces");
      if (Skip("^")) set->negated = !set->negated;
      const size_t end = Rest().find('}');
      if (end == absl::string_view::npos) return Unsupported("\\p{ without }");
      const absl::string_view name = Rest().substr(0, end);
      if (name == "Han") {
        // The script itself; PCRE2's \p{Han} has the Script_Extensions too.
        set->items = absl::StrCat("\\p{sc:Han}", ClassRange(0x2B739, 0x2B739),
                                  ClassRange(0x2EBF0, 0x2EE5D), ClassRange(0x31350, 0x323AF));
      } else if (std::find(std::begin(kCategories), std::end(kCategories), name) !=
                 std::end(kCategories)) {
        set->items = CategoryItems(name);
      } else {
        return Unsupported(absl::StrCat("\\p{", name, "} (only general categories and Han)"));
      }
      pos_ += end;
      break;
    }
    default:
      return false;
  }
  ++pos_;
  return true;
}

absl::StatusOr<char32_t> Translator::EscapedCharacter() {
  const char32_t c = NextCodePoint();
  constexpr absl::string_view kNames = "nrtfave";
  constexpr absl::string_view kValues = "\n\r\t\f\a\v\x1B";
  if (c < 0x80) {
    const size_t index = kNames.find(static_cast<char>(c));
    if (index != absl::string_view::npos) return static_cast<char32_t>(kValues[index]);
  }
  if (c == 'x' || c == 'u') {
    const bool braces = c == 'x' && Skip("{");
    const absl::string_view digits = Rest().substr(0, braces ? Rest().find('}') : c == 'x' ? 2 : 4);
    const bool is_hex = std::all_of(digits.begin(), digits.end(), [](unsigned char digit) {
      return absl::ascii_isxdigit(digit);
    });
    uint32_t value = 0;
    // Two digits are a byte, which is a character only up to 7F.
    if (!is_hex || digits.size() > 8 || !absl::SimpleHexAtoi(digits, &value) ||
        value > (c == 'x' && !braces ? 0x7F : 0x10FFFF)) {
      return Unsupported("this \\x or \\u escape");
    }
    pos_ += digits.size();
    if (braces && !Skip("}")) return Unsupported("\\x{ without }");
    return value;
  }
  if (c < 0x80 && absl::ascii_isalnum(static_cast<unsigned char>(c))) {
    return Unsupported(absl::StrCat("\\", std::string(1, static_cast<char>(c))));
  }
  return c;
}

absl::Status Translator::ClassItem(std::string* items, std::vector<std::string>* negated) {
  const auto character = [this]() -> absl::StatusOr<char32_t> {
    if (Skip("\\")) return EscapedCharacter();
    return NextCodePoint();
  };
  if (absl::StartsWith(Rest(), "[") || absl::StartsWith(Rest(), "&&")) {
    return Unsupported("a class within a class, or \"&&\",");
  }
  if (Skip("\\")) {
    CharacterSet set;
    QUIRE_ASSIGN_OR_RETURN(const bool is_set, EscapedSet(&set));
    if (is_set) {
      if (absl::StartsWith(Rest(), "-") && !absl::StartsWith(Rest(), "-]")) {
        return Unsupported("a range that starts with a class");
      }
      if (set.negated) {
        negated->push_back(set.Class());
      } else {
        *items += set.items;
      }
      return absl::OkStatus();
    }
    --pos_;
  }
  QUIRE_ASSIGN_OR_RETURN(const char32_t first, character());
  char32_t last = first;
  if (absl::StartsWith(Rest(), "-") && !absl::StartsWith(Rest(), "-]") && Rest().size() > 1) {
    ++pos_;
    QUIRE_ASSIGN_OR_RETURN(last, character());
  }
  if (last < first) return Unsupported("a range that runs backwards");
  *items += ClassRange(first, last);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Translator::Class() {
  ++pos_;
  CharacterSet set;
  set.negated = Skip("^");
  std::vector<std::string> alternatives;  // what else the class has: the likes of \S
  if (absl::StartsWith(Rest(), "]")) return Unsupported("\"]\" at the start of a class");
  while (!AtEnd() && !absl::StartsWith(Rest(), "]")) {
    QUIRE_RETURN_IF_ERROR(ClassItem(&set.items, &alternatives));
  }
  if (!Skip("]")) return Unsupported("\"[\" without \"]\"");
  if (alternatives.empty()) return set.Class();
  if (!set.items.empty()) alternatives.push_back(absl::StrCat("[", set.items, "]"));
  const std::string any = absl::StrJoin(alternatives, "|");
  return set.negated ? absl::StrCat("(?>(?!", any, ")(?s:.))") : absl::StrCat("(?>", any, ")");
}

}  // namespace

absl::StatusOr<std::string> TranslatePattern(absl::string_view pattern) {
  for (const auto& [known, linear] : kLinearForms) {
    if (pattern == known) pattern = linear;
  }
  return Translator(pattern).Run();
}

}  // namespace quire
