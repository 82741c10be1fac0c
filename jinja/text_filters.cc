// Filters of texts and numbers.
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "core/status_macros.h"
#include "core/utf8.h"
#include "jinja/builtin.h"
#include "jinja/context.h"
#include "jinja/format.h"
#include "jinja/operations.h"
#include "jinja/text.h"

namespace quire::jinja {
namespace {

using Result = absl::StatusOr<Value>;

bool IsMarkup(const Value& value) { return value.is_text() && value.text_or_null()->markup; }

// A text stays what it is; all else becomes one.
Result AsText(Context& context, const Value& value) {
  if (value.is_text()) return value;
  return Concatenate(context, {value});
}

template <std::string (*function)(absl::string_view)>
Result Map(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const Value text, AsText(call.context, call.self));
  return call.context.MakeText(function(text.text_or_null()->text), IsMarkup(text));
}

Result Escape(Call& call) {
  if (IsMarkup(call.self)) return call.self;
  QUIRE_ASSIGN_OR_RETURN(const std::string text, ToString(call.context, call.self));
  return call.context.MakeText(EscapeHtml(text), true);
}

Result ForceEscape(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::string text, ToString(call.context, call.self));
  return call.context.MakeText(EscapeHtml(text), true);
}

Result Safe(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(std::string text, ToString(call.context, call.self));
  return call.context.MakeText(std::move(text), true);
}

Result Trim(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const Value text, AsText(call.context, call.self));
  std::optional<absl::string_view> set;
  if (call.has(0) && !call.arg(0).is_none()) {
    QUIRE_ASSIGN_OR_RETURN(set, ToText(call.arg(0), "trim's characters"));
  }
  return call.context.MakeText(std::string(Strip(text.text_or_null()->text, set, true, true)),
                               IsMarkup(text));
}

Result ReplaceFilter(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::string text, ToString(call.context, call.self));
  QUIRE_ASSIGN_OR_RETURN(const std::string from, ToString(call.context, call.arg(0)));
  QUIRE_ASSIGN_OR_RETURN(const std::string to, ToString(call.context, call.arg(1)));
  int64_t max = -1;
  if (call.has(2) && !call.arg(2).is_none()) {
    QUIRE_ASSIGN_OR_RETURN(max, ToInteger(call.arg(2), "replace's count"));
  }
  QUIRE_RETURN_IF_ERROR(call.context.SpendBytes(SizeOfReplaced(text, from, to, max)));
  return Value(Replace(text, from, to, max));
}

Result Indent(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view text, ToText(call.self, "what is indented"));
  std::string indention(4, ' ');
  if (call.has(0) && call.arg(0).is_text()) {
    indention = call.arg(0).text_or_null()->text;
  } else {
    QUIRE_ASSIGN_OR_RETURN(const int64_t width, call.IntegerOr(0, 4));
    QUIRE_RETURN_IF_ERROR(call.context.SpendBytes(std::max<int64_t>(width, 0)));
    indention.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool first = call.TruthOr(1, false);
  const bool blank = call.TruthOr(2, false);
  // With a newline at the end the last line counts too.
  const std::string with_newline = absl::StrCat(text, "\n");
  const std::vector<absl::string_view> lines = SplitLines(with_newline, false);
  QUIRE_RETURN_IF_ERROR(call.context.SpendBytes(static_cast<int64_t>(text.size()) +
                                                static_cast<int64_t>(indention.size()) *
                                                    static_cast<int64_t>(lines.size())));
  std::string out = first ? indention : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out += '\n';
    if (i > 0 && (blank || !lines[i].empty())) out += indention;
    out += std::string(lines[i]);
  }
  return Value(std::move(out), IsMarkup(call.self));
}

Result ToJson(Call& call) {
  JsonStyle style;
  style.ensure_ascii = call.TruthOr(0, false);
  style.sort_keys = call.TruthOr(3, false);
  if (call.has(1) && !call.arg(1).is_none()) {
    style.item_separator.assign(1, ',');
    if (const Text* text = call.arg(1).text_or_null()) {
      style.indent = text->text;
    } else {
      QUIRE_ASSIGN_OR_RETURN(const int64_t width, ToInteger(call.arg(1), "tojson's indent"));
      constexpr int64_t kMaxIndent = 1024;
      if (width > kMaxIndent) {
        return TemplateError("tojson's indent is ", width, "; the limit is ", kMaxIndent);
      }
      style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    }
  }
  if (call.has(2) && !call.arg(2).is_none()) {
    QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> both, Iterate(call.context, call.arg(2)));
    if (both.size() != 2 || !both[0].is_text() || !both[1].is_text()) {
      return TemplateError("tojson's separators must be two strings");
    }
    style.item_separator = both[0].text_or_null()->text;
    style.key_separator = both[1].text_or_null()->text;
  }
  std::string out;
  QUIRE_RETURN_IF_ERROR(AppendJson(call.context, call.self, style, out));
  return call.context.MakeText(std::move(out));
}

Result Truncate(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view text, ToText(call.self, "what is truncated"));
  QUIRE_ASSIGN_OR_RETURN(const int64_t length, call.IntegerOr(0, 255));
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view end, call.TextOr(2, "..."));
  QUIRE_ASSIGN_OR_RETURN(const int64_t leeway, call.IntegerOr(3, 5));
  const int64_t end_length = CountCharacters(end);
  if (length < end_length || leeway < 0) {
    return TemplateError("truncate's length is ", length, "; it needs at least ", end_length,
                         ", and a leeway of 0 or more");
  }
  if (CountCharacters(text) <= length + leeway) return call.self;
  absl::string_view kept = text.substr(0, ByteOf(text, length - end_length));
  if (!call.TruthOr(1, false)) {
    const size_t space = kept.rfind(' ');
    if (space != absl::string_view::npos) kept = kept.substr(0, space);
  }
  return call.context.MakeText(absl::StrCat(kept, end));
}

Result CountWords(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::string text, ToString(call.context, call.self));
  int64_t count = 0;
  bool within = false;
  for (absl::string_view character : Characters(text)) {
    const bool is_word = character == "_" || IsAll(character, CharacterClass::kAlnum);
    count += is_word && !within ? 1 : 0;
    within = is_word;
  }
  return Value(count);
}

Result Center(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const Value text, AsText(call.context, call.self));
  Arguments width;
  width.positional.push_back(call.has(0) ? call.arg(0) : Value(int64_t{80}));
  return Invoke(*FindMethod(text, "center"), call.context, text, width);
}

Result Format(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const Value format, AsText(call.context, call.self));
  Value values;
  if (!call.all.named.empty()) {
    if (!call.all.positional.empty()) {
      return TemplateError("format takes either positional or named arguments, not both");
    }
    std::vector<std::pair<Value, Value>> items;
    for (const auto& [name, value] : call.all.named) items.emplace_back(Value(name), value);
    QUIRE_ASSIGN_OR_RETURN(values, call.context.MakeDict(std::move(items)));
  } else {
    QUIRE_ASSIGN_OR_RETURN(values,
                           call.context.MakeSequence(SequenceKind::kTuple, call.all.positional));
  }
  return FormatPercent(call.context, format, values);
}

// int(text, base) as Python reads it: blanks around it, a sign, single underscores between digits.
std::optional<int64_t> ReadInteger(absl::string_view text, int base) {
  text = Strip(text, std::nullopt, true, true);
  std::string digits;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    if (text[0] == '-') digits += '-';
    text.remove_prefix(1);
  }
  const char mark = text.size() > 2 && text[0] == '0' ? absl::ascii_tolower(text[1]) : '\0';
  if ((mark == 'x' && base == 16) || (mark == 'o' && base == 8) || (mark == 'b' && base == 2)) {
    text.remove_prefix(2);
  }
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && i > 0 && i + 1 < text.size() && text[i - 1] != '_') continue;
    if (!absl::ascii_isalnum(static_cast<unsigned char>(text[i]))) return std::nullopt;
    digits += text[i];
  }
  if (digits.empty()) return std::nullopt;
  errno = 0;
  char* end = nullptr;
  const int64_t value = std::strtoll(digits.c_str(), &end, base);
  if (errno != 0 || end != digits.c_str() + digits.size()) return std::nullopt;
  return value;
}

std::optional<double> ReadFloat(absl::string_view text) {
  const std::string digits =
      absl::StrReplaceAll(Strip(text, std::nullopt, true, true), {{"_", ""}});
  double value = 0;
  if (absl::StartsWithIgnoreCase(digits, "0x") || !absl::SimpleAtod(digits, &value)) {
    return std::nullopt;
  }
  return value;
}

std::optional<int64_t> Whole(double value) {
  if (!(std::fabs(value) < 0x1p63)) return std::nullopt;
  return static_cast<int64_t>(value);
}

Result Int(Call& call) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(call.self));
  const Value fallback = call.has(0) ? call.arg(0) : Value(int64_t{0});
  QUIRE_ASSIGN_OR_RETURN(const int64_t base, call.IntegerOr(1, 10));
  if (base != 0 && (base < 2 || base > 36)) return fallback;
  if (const std::optional<int64_t> integer = call.self.integer()) return Value(*integer);
  if (call.self.is_float()) {
    const std::optional<int64_t> whole = Whole(*call.self.number());
    return whole ? Value(*whole) : fallback;
  }
  const Text* text = call.self.text_or_null();
  if (text == nullptr) return fallback;
  if (const auto integer = ReadInteger(text->text, static_cast<int>(base))) return Value(*integer);
  const std::optional<double> number = ReadFloat(text->text);
  const std::optional<int64_t> whole = number ? Whole(*number) : std::nullopt;
  return whole ? Value(*whole) : fallback;
}

Result Float(Call& call) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(call.self));
  if (const std::optional<double> number = call.self.number()) return Value(*number);
  const Text* text = call.self.text_or_null();
  const std::optional<double> number = text == nullptr ? std::nullopt : ReadFloat(text->text);
  if (number) return Value(*number);
  return call.has(0) ? call.arg(0) : Value(0.0);
}

Result Abs(Call& call) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(call.self));
  if (!call.self.number()) {
    return TemplateError("bad operand type for abs(): '", TypeName(call.self), "'");
  }
  if (call.self.is_float()) return Value(std::fabs(*call.self.number()));
  return *call.self.integer() < 0 ? Negate(call.context, call.self) : Value(*call.self.integer());
}

Result Round(Call& call) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(call.self));
  QUIRE_ASSIGN_OR_RETURN(const int64_t precision, call.IntegerOr(0, 0));
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view method, call.TextOr(1, "common"));
  if (!call.self.number()) return TemplateError("only numbers can be rounded");
  constexpr int64_t kMaxPrecision = 300;
  if (std::abs(precision) > kMaxPrecision) {
    return TemplateError("round's precision is ", precision, "; the limit is ", kMaxPrecision);
  }
  const double number = *call.self.number();
  const double power = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value(std::ceil(number * power) / power);
  if (method == "floor") return Value(std::floor(number * power) / power);
  if (method != "common") return TemplateError("round's method must be common, ceil or floor");
  if (!call.self.is_float() && precision >= 0) return Value(*call.self.integer());
  if (precision < 0) {
    const double rounded = std::nearbyint(number * power) / power;
    if (call.self.is_float()) return Value(rounded);
    return Value(Whole(rounded).value_or(0));
  }
  // What printf rounds is the exact value, as in Python.
  double rounded = number;
  if (std::isfinite(number) &&
      !absl::SimpleAtod(absl::StrFormat("%.*f", static_cast<int>(precision), number), &rounded)) {
    return TemplateError("the number cannot be rounded");
  }
  return Value(rounded);
}

}  // namespace

absl::Span<const Builtin> TextFilters() {
  static const std::vector<Builtin>& filters = *new std::vector<Builtin>{
      {"capitalize", Map<Capitalize>},
      {"center", Center, {"width"}},
      {"e", Escape},
      {"escape", Escape},
      {"forceescape", ForceEscape},
      {"format", Format, {}, 0, true},
      {"indent", Indent, {"width", "first", "blank"}},
      {"lower", Map<Lower>},
      {"replace", ReplaceFilter, {"old", "new", "count"}, 2},
      {"safe", Safe},
      {"string", [](Call& call) { return AsText(call.context, call.self); }},
      {"title", Map<FilterTitle>},
      {"tojson", ToJson, {"ensure_ascii", "indent", "separators", "sort_keys"}},
      {"trim", Trim, {"chars"}},
      {"truncate", Truncate, {"length", "killwords", "end", "leeway"}},
      {"upper", Map<Upper>},
      {"wordcount", CountWords},
  };
  return filters;
}

absl::Span<const Builtin> NumberFilters() {
  static const std::vector<Builtin>& filters = *new std::vector<Builtin>{
      {"abs", Abs},
      {"float", Float, {"default"}},
      {"int", Int, {"default", "base"}},
      {"round", Round, {"precision", "method"}},
  };
  return filters;
}

}  // namespace quire::jinja
