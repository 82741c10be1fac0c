// Oniguruma's syntax to PCRE2's: see TranslatePattern in regex.h.
//
// Everything that the two read differently is either written out (classes and properties, whose
// members depend on the library's Unicode version), or refused. Groups capture nothing: nobody
// asks.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/status_macros.h"
#include "tokenizer/json.h"
#include "tokenizer/regex.h"
#include "tokenizer/regex_classes.h"
#include "tokenizer/unicode.h"

namespace quire {
namespace {

// Patterns of known models that backtrack quadratically, and the same without: a match of \s+$ can
// start only where its run of white space does.
constexpr std::array<std::array<absl::string_view, 2>, 1> kLinearForms = {{
    {R"(\s+$)", R"((?<!\s)\s+$)"},
}};

constexpr int kMaxClassDepth = 8;

// A set of characters: a PCRE2 class's items, or all but those.
struct CharacterSet {
  std::string items;
  bool negated = false;

  std::string Class() const { return absl::StrCat(negated ? "[^" : "[", items, "]"); }
};

class Translator {
 public:
  Translator(absl::string_view pattern, ClassForm form) : pattern_(pattern), form_(form) {}

  absl::StatusOr<std::string> Run() {
    while (!AtEnd()) {
      // Groups dissolve: s(?:t) is "st".
      const bool at_parenthesis = pattern_[pos_] == '(' || pattern_[pos_] == ')';
      const bool after_literal = literal_end_ == out_.size();
      QUIRE_RETURN_IF_ERROR(Atom());
      if (at_parenthesis && after_literal) literal_end_ = out_.size();
    }
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
  absl::Status ClassItem(std::string* items, std::vector<std::string>* others);
  bool Anchor();
  // After a backslash. Either a set (\s, \p{L}, ...) or one character.
  absl::StatusOr<bool> EscapedSet(Place place, CharacterSet* set);
  absl::StatusOr<char32_t> EscapedCharacter();
  absl::Status Literal(char32_t code_point);
  absl::Status CheckCaseless(char32_t before, char32_t code_point) const;

  absl::string_view pattern_;
  ClassForm form_;
  size_t pos_ = 0;
  int class_depth_ = 0;
  std::vector<bool> caseless_ = {false};  // of the pattern, then of each open group
  char32_t last_literal_ = 0;
  size_t literal_end_ = 0;  // where it ends in out_
  std::string out_;
};

// \A, \z, \Z, \b and \B.
bool Translator::Anchor() {
  for (const absl::string_view anchor : {"\\A", "\\z", "\\Z"}) {
    if (Skip(anchor)) {
      absl::StrAppend(&out_, anchor);
      return true;
    }
  }
  const bool boundary = Skip("\\b");
  if (!boundary && !Skip("\\B")) return false;
  const std::string word = absl::StrCat("[", WordItems(form_, Place::kOutsideClass), "]");
  absl::StrAppend(&out_, "(?(?<=", word, ")", boundary ? "(?!" : "(?=", word, ")|",
                  boundary ? "(?=" : "(?!", word, "))");
  return true;
}

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
      if (caseless_.size() > 1) caseless_.pop_back();
      [[fallthrough]];
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
      return Literal(NextCodePoint());
  }
  if (Anchor()) return absl::OkStatus();
  ++pos_;
  CharacterSet set;
  QUIRE_ASSIGN_OR_RETURN(const bool is_set, EscapedSet(Place::kOutsideClass, &set));
  if (is_set) {
    out_ += set.Class();
    return absl::OkStatus();
  }
  QUIRE_ASSIGN_OR_RETURN(const char32_t code_point, EscapedCharacter());
  return Literal(code_point);
}

// Oniguruma's (?i:ss) matches "\u00DF" too, and so on: such foldings of several characters have
// parts beyond ASCII or are among these.
absl::Status Translator::CheckCaseless(char32_t before, char32_t code_point) const {
  if (!caseless_.back()) return absl::OkStatus();
  if (code_point >= 0x80) return Unsupported("a character beyond ASCII under (?i");
  const std::string pair = {static_cast<char>(before), static_cast<char>(code_point)};
  for (const absl::string_view folding : {"ss", "st", "ff", "fi", "fl"}) {
    if (absl::EqualsIgnoreCase(pair, folding)) {
      return Unsupported(absl::StrCat("\"", folding, "\" under (?i"));
    }
  }
  return absl::OkStatus();
}

absl::Status Translator::Literal(char32_t code_point) {
  // Only what stands right behind a literal can fold with it.
  const char32_t before = out_.size() == literal_end_ ? last_literal_ : 0;
  QUIRE_RETURN_IF_ERROR(CheckCaseless(before, code_point));
  if (code_point < 0x80 && !absl::ascii_isalnum(static_cast<unsigned char>(code_point))) {
    out_ += '\\';
  }
  AppendUtf8(code_point, &out_);
  last_literal_ = code_point;
  literal_end_ = out_.size();
  return absl::OkStatus();
}

absl::Status Translator::Group() {
  for (const absl::string_view open : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:"}) {
    if (Skip(open)) {
      absl::StrAppend(&out_, open);
      caseless_.push_back(caseless_.back() || open == "(?i:");
      return absl::OkStatus();
    }
  }
  // Further in, Oniguruma ends the option at the next "|".
  if (pos_ == 0 && Skip("(?i)")) {
    out_ += "(?i)";
    caseless_.back() = true;
    return absl::OkStatus();
  }
  if (absl::StartsWith(Rest(), "(?")) {
    return Unsupported(Quoted(Rest().substr(0, 3)));
  }
  ++pos_;
  out_ += "(?:";
  caseless_.push_back(caseless_.back());
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
      return Literal('{');
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

absl::StatusOr<bool> Translator::EscapedSet(Place place, CharacterSet* set) {
  if (AtEnd()) return Unsupported("a backslash at the end");
  const char c = pattern_[pos_];
  set->negated = absl::ascii_isupper(static_cast<unsigned char>(c));
  switch (absl::ascii_tolower(static_cast<unsigned char>(c))) {
    case 's':
      set->items = WhitespaceItems(form_);
      break;
    case 'd':
      set->items = *PropertyItems("Nd", form_);
      break;
    case 'w':
      set->items = WordItems(form_, place);
      break;
    case 'p': {
      ++pos_;
      if (!Skip("{")) return Unsupported("\\p without braces");
      if (Skip("^")) set->negated = !set->negated;
      const size_t end = Rest().find('}');
      if (end == absl::string_view::npos) return Unsupported("\\p{ without }");
      const absl::string_view name = Rest().substr(0, end);
      const std::optional<std::string> items = PropertyItems(name, form_);
      if (!items.has_value()) {
        return Unsupported(absl::StrCat("\\p{", name, "} (only general categories and Han)"));
      }
      set->items = *items;
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

// Adds to `items`, or to `others` what is no item of a PCRE2 class: the likes of \S and [^a].
absl::Status Translator::ClassItem(std::string* items, std::vector<std::string>* others) {
  const auto character = [this]() -> absl::StatusOr<char32_t> {
    if (Skip("\\")) return EscapedCharacter();
    return NextCodePoint();
  };
  if (absl::StartsWith(Rest(), "[:") || absl::StartsWith(Rest(), "&&")) {
    return Unsupported(Quoted(Rest().substr(0, 2)));
  }
  bool is_set = absl::StartsWith(Rest(), "[");
  if (is_set) {
    QUIRE_ASSIGN_OR_RETURN(std::string inner, Class());
    others->push_back(std::move(inner));
  } else if (Skip("\\")) {
    CharacterSet set;
    QUIRE_ASSIGN_OR_RETURN(is_set, EscapedSet(Place::kInClass, &set));
    if (!is_set) {
      --pos_;
    } else if (set.negated) {
      others->push_back(set.Class());
    } else {
      *items += set.items;
    }
  }
  const auto at_range = [this] {
    return absl::StartsWith(Rest(), "-") && !absl::StartsWith(Rest(), "-]");
  };
  if (is_set) {
    return at_range() ? Unsupported("a range that starts with a class") : absl::OkStatus();
  }
  QUIRE_ASSIGN_OR_RETURN(const char32_t first, character());
  char32_t last = first;
  if (at_range()) {
    ++pos_;
    if (AtEnd() || absl::StartsWith(Rest(), "[")) return Unsupported("a range without an end");
    QUIRE_ASSIGN_OR_RETURN(last, character());
  }
  if (last < first) return Unsupported("a range that runs backwards");
  QUIRE_RETURN_IF_ERROR(CheckCaseless(0, last));
  *items += RangeItem(first, last);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Translator::Class() {
  if (class_depth_ == kMaxClassDepth) return Unsupported("a class so deep in others");
  ++class_depth_;
  ++pos_;
  CharacterSet set;
  set.negated = Skip("^");
  std::vector<std::string> others;
  if (absl::StartsWith(Rest(), "]")) return Unsupported("\"]\" at the start of a class");
  while (!AtEnd() && !absl::StartsWith(Rest(), "]")) {
    QUIRE_RETURN_IF_ERROR(ClassItem(&set.items, &others));
  }
  if (!Skip("]")) return Unsupported("\"[\" without \"]\"");
  --class_depth_;
  if (others.empty()) return set.Class();
  if (!set.items.empty()) others.push_back(absl::StrCat("[", set.items, "]"));
  const std::string any = absl::StrJoin(others, "|");
  return set.negated ? absl::StrCat("(?>(?!", any, ")(?s:.))") : absl::StrCat("(?>", any, ")");
}

}  // namespace

absl::StatusOr<std::string> TranslatePattern(absl::string_view pattern, ClassForm form) {
  for (const auto& [known, linear] : kLinearForms) {
    if (pattern == known) pattern = linear;
  }
  return Translator(pattern, form).Run();
}

}  // namespace quire
