// Python's % and str.format.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "core/status_macros.h"
#include "jinja/builtin.h"
#include "jinja/format.h"
#include "jinja/operations.h"
#include "jinja/text.h"

namespace quire::jinja {
namespace {

constexpr int64_t kMaxPrecision = 100;

struct Spec {
  char align = '\0';  // < > ^ =
  char sign = '-';
  bool alternate = false;
  bool zeros = false;
  bool commas = false;
  std::string fill = " ";
  int64_t width = 0;
  int64_t precision = -1;
  char type = '\0';
};

// Reads a number at text[pos]; 0 where there is none.
int64_t TakeNumber(absl::string_view text, size_t& pos) {
  const size_t begin = pos;
  while (pos < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[pos]))) ++pos;
  int64_t number = 0;
  if (pos > begin && !absl::SimpleAtoi(text.substr(begin, pos - begin), &number)) {
    number = INT64_MAX;
  }
  return number;
}

std::string Grouped(std::string digits) {
  for (size_t at = std::min(digits.find('.'), digits.size()); at > 3; at -= 3) {
    digits.insert(at - 3, 1, ',');
  }
  return digits;
}

// The digits of |value|, without sign.
absl::StatusOr<std::string> Magnitude(const Value& value, const Spec& spec) {
  if (!value.is_float() &&
      absl::string_view("fFeEgG%").find(spec.type) == absl::string_view::npos) {
    const int64_t number = *value.integer();
    const uint64_t magnitude =
        number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    switch (spec.type) {
      case 'x':
        return absl::StrFormat(spec.alternate ? "0x%x" : "%x", magnitude);
      case 'X':
        return absl::StrFormat(spec.alternate ? "0X%X" : "%X", magnitude);
      case 'o':
        return absl::StrFormat(spec.alternate ? "0o%o" : "%o", magnitude);
      case 'b': {
        std::string bits;
        for (uint64_t rest = magnitude; rest > 0 || bits.empty(); rest /= 2) {
          bits.insert(bits.begin(), static_cast<char>('0' + rest % 2));
        }
        return spec.alternate ? absl::StrCat("0b", bits) : bits;
      }
      default:
        return spec.commas ? Grouped(absl::StrCat(magnitude)) : absl::StrCat(magnitude);
    }
  }
  const double number = std::fabs(*value.number()) * (spec.type == '%' ? 100 : 1);
  if (!std::isfinite(number)) return std::string(std::isnan(number) ? "nan" : "inf");
  if (spec.precision > kMaxPrecision) {
    return TemplateError("a precision of ", spec.precision, " digits; the limit is ",
                         kMaxPrecision);
  }
  const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
  std::string digits;
  switch (spec.type) {
    case 'e':
      digits = absl::StrFormat("%.*e", precision, number);
      break;
    case 'E':
      digits = absl::StrFormat("%.*E", precision, number);
      break;
    case 'f':
    case 'F':
    case '%':
      digits = absl::StrFormat("%.*f", precision, number);
      break;
    case '\0':
      if (spec.precision < 0) {
        digits = Repr(number);
        break;
      }
      [[fallthrough]];
    case 'g':
    case 'G':
      digits = absl::StrFormat(spec.type == 'G' ? "%.*G" : "%.*g", precision, number);
      break;
    default:
      return TemplateError("Unknown format code '", std::string(1, spec.type),
                           "' for object of type '", TypeName(value), "'");
  }
  if (spec.commas) digits = Grouped(std::move(digits));
  return spec.type == '%' ? absl::StrCat(digits, "%") : digits;
}

absl::StatusOr<std::string> Pad(Context& context, std::string sign, std::string body,
                                const Spec& spec, char default_align) {
  const int64_t have = CountCharacters(sign) + CountCharacters(body);
  const int64_t missing = std::max<int64_t>(0, std::min(spec.width, int64_t{1} << 40) - have);
  QUIRE_RETURN_IF_ERROR(context.SpendBytes(missing * static_cast<int64_t>(spec.fill.size())));
  const auto fill = [&spec](int64_t count) {
    std::string out;
    for (int64_t i = 0; i < count; ++i) out += spec.fill;
    return out;
  };
  switch (spec.align == '\0' ? default_align : spec.align) {
    case '<':
      return absl::StrCat(sign, body, fill(missing));
    case '^':
      return absl::StrCat(fill(missing / 2), sign, body, fill(missing - missing / 2));
    case '=':
      return absl::StrCat(sign, fill(missing), body);
    default:
      return absl::StrCat(fill(missing), sign, body);
  }
}

absl::StatusOr<std::string> FormatNumber(Context& context, const Value& value, Spec spec) {
  if (spec.zeros && spec.align == '\0') {
    spec.align = '=';
    spec.fill.assign(1, '0');
  }
  const bool negative = value.is_float() ? std::signbit(*value.number()) : *value.integer() < 0;
  const std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  QUIRE_ASSIGN_OR_RETURN(std::string digits, Magnitude(value, spec));
  return Pad(context, sign, std::move(digits), spec, '>');
}

absl::StatusOr<std::string> FormatText(Context& context, absl::string_view text, const Spec& spec,
                                       char default_align) {
  if (spec.precision >= 0) text = text.substr(0, ByteOf(text, spec.precision));
  return Pad(context, "", std::string(text), spec, default_align);
}

// One "%..." conversion of `value`.
absl::StatusOr<std::string> ConvertPercent(Context& context, const Value& value, Spec spec) {
  switch (spec.type) {
    case 's': {
      QUIRE_ASSIGN_OR_RETURN(const std::string text, ToString(context, value));
      return FormatText(context, text, spec, '>');
    }
    case 'r': {
      std::string text;
      QUIRE_RETURN_IF_ERROR(AppendRepr(context, value, text));
      return FormatText(context, text, spec, '>');
    }
    case 'd':
    case 'i':
    case 'u':
      if (!value.number() || !std::isfinite(*value.number())) break;
      spec.type = 'd';
      if (!value.is_float()) return FormatNumber(context, value, spec);
      if (std::fabs(*value.number()) >= 0x1p63) break;
      return FormatNumber(context, Value(static_cast<int64_t>(*value.number())), spec);
    case 'x':
    case 'X':
    case 'o':
      if (value.integer()) return FormatNumber(context, value, spec);
      break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      if (value.number()) return FormatNumber(context, Value(*value.number()), spec);
      break;
    default:
      return TemplateError("unsupported format character '", std::string(1, spec.type), "'");
  }
  return TemplateError("%", std::string(1, spec.type), " format: a number is required, not ",
                       TypeName(value));
}

// "-8.2f" of "%-8.2f"; moves `pos` behind it.
absl::StatusOr<Spec> TakePercentSpec(absl::string_view text, size_t& pos) {
  Spec spec;
  constexpr absl::string_view kFlags = "-+ #0";
  for (; pos < text.size() && kFlags.find(text[pos]) != absl::string_view::npos; ++pos) {
    if (text[pos] == '-') spec.align = '<';
    if (text[pos] == '+') spec.sign = '+';
    if (text[pos] == ' ' && spec.sign == '-') spec.sign = ' ';
    if (text[pos] == '#') spec.alternate = true;
    if (text[pos] == '0') spec.zeros = true;
  }
  spec.width = TakeNumber(text, pos);
  if (pos < text.size() && text[pos] == '.') spec.precision = TakeNumber(text, ++pos);
  if (pos == text.size()) return TemplateError("incomplete format");
  spec.type = text[pos++];
  return spec;
}

// "<8.2f" of "{:<8.2f}".
absl::StatusOr<Spec> ParseSpec(absl::string_view text) {
  Spec spec;
  size_t pos = 0;
  const size_t first = ByteOf(text, 1);
  const auto is_align = [&](size_t at) {
    return at < text.size() && absl::string_view("<>^=").find(text[at]) != absl::string_view::npos;
  };
  if (!text.empty() && is_align(first)) {
    spec.fill = std::string(text.substr(0, first));
    spec.align = text[first];
    pos = first + 1;
  } else if (is_align(0)) {
    spec.align = text[pos++];
  }
  const auto take = [&](absl::string_view any) {
    if (pos == text.size() || any.find(text[pos]) == absl::string_view::npos) return '\0';
    return text[pos++];
  };
  if (const char sign = take("+- ")) spec.sign = sign;
  spec.alternate = take("#") != '\0';
  spec.zeros = take("0") != '\0';
  spec.width = TakeNumber(text, pos);
  spec.commas = take(",") != '\0';
  if (take(".") != '\0') spec.precision = TakeNumber(text, pos);
  spec.type = take("sdxXobeEfFgG%");
  if (pos != text.size()) return TemplateError("Invalid format specifier '", text, "'");
  return spec;
}

absl::StatusOr<std::string> FormatValue(Context& context, const Value& value,
                                        absl::string_view text) {
  QUIRE_ASSIGN_OR_RETURN(const Spec spec, ParseSpec(text));
  if (value.number() && !(value.is_bool() && text.empty())) {
    if (value.is_float() &&
        absl::string_view("sdxXob").find(spec.type) != absl::string_view::npos) {
      return TemplateError("Unknown format code '", std::string(1, spec.type),
                           "' for object of type 'float'");
    }
    return FormatNumber(context, value, spec);
  }
  if (spec.type != '\0' && spec.type != 's') {
    return TemplateError("Unknown format code '", std::string(1, spec.type),
                         "' for object of type '", TypeName(value), "'");
  }
  QUIRE_ASSIGN_OR_RETURN(const std::string shown, ToString(context, value));
  return FormatText(context, shown, spec, '<');
}

// The values of a "{...}" field, by number, by name, or the next one.
class Fields {
 public:
  Fields(Context& context, const Arguments& arguments) : context_(context), arguments_(arguments) {}

  absl::StatusOr<Value> Find(absl::string_view field) {
    const size_t end = std::min(field.find_first_of(".["), field.size());
    const absl::string_view name = field.substr(0, end);
    Value value;
    size_t index = 0;
    if (name.empty() || absl::SimpleAtoi(name, &index)) {
      if (name.empty()) index = next_++;
      if (index >= arguments_.positional.size()) {
        return TemplateError("Replacement index ", index,
                             " out of range for positional args tuple");
      }
      value = arguments_.positional[index];
    } else {
      const auto found = std::find_if(arguments_.named.begin(), arguments_.named.end(),
                                      [&](const auto& one) { return one.first == name; });
      if (found == arguments_.named.end()) return TemplateError("no value named '", name, "'");
      value = found->second;
    }
    return Follow(std::move(value), field.substr(end));
  }

 private:
  // ".name" and "[key]", any number of times.
  absl::StatusOr<Value> Follow(Value value, absl::string_view path) {
    while (!path.empty()) {
      const bool is_key = path[0] == '[';
      const size_t end =
          is_key ? path.find(']') : std::min(path.find_first_of(".[", 1), path.size());
      if (end == absl::string_view::npos) return TemplateError("Missing ']' in format string");
      const absl::string_view part = path.substr(1, end - 1);
      int64_t index = 0;
      QUIRE_ASSIGN_OR_RETURN(value, !is_key ? GetAttribute(context_, value, part)
                                    : absl::SimpleAtoi(part, &index)
                                        ? GetItem(context_, value, Value(index))
                                        : GetItem(context_, value, Value(part)));
      QUIRE_RETURN_IF_ERROR(CheckDefined(value));
      path.remove_prefix(end + (is_key ? 1 : 0));
    }
    return value;
  }

  Context& context_;
  const Arguments& arguments_;
  size_t next_ = 0;
};

}  // namespace

absl::StatusOr<Value> FormatPercent(Context& context, const Value& format, const Value& values) {
  const std::string& text = format.text_or_null()->text;
  const Sequence* tuple = values.sequence_or_null();
  if (tuple != nullptr && tuple->kind != SequenceKind::kTuple) tuple = nullptr;
  const Dict* dict = values.dict_or_null();
  size_t used = 0;
  const size_t given = tuple != nullptr ? tuple->items.size() : 1;
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    if (text[pos] != '%') {
      out += text[pos++];
      continue;
    }
    if (++pos < text.size() && text[pos] == '%') {
      out += text[pos++];
      continue;
    }
    std::optional<Value> value;
    if (pos < text.size() && text[pos] == '(') {
      const size_t end = text.find(')', pos);
      if (end == std::string::npos) return TemplateError("incomplete format key");
      const std::string key = text.substr(pos + 1, end - pos - 1);
      if (dict == nullptr) return TemplateError("format requires a mapping");
      const Value* found = dict->Find(absl::string_view(key));
      if (found == nullptr) return TemplateError("no value named '", key, "'");
      value = *found;
      pos = end + 1;
    }
    QUIRE_ASSIGN_OR_RETURN(const Spec spec, TakePercentSpec(text, pos));
    if (!value) {
      if (used == given) return TemplateError("not enough arguments for format string");
      value = tuple != nullptr ? tuple->items[used] : values;
      ++used;
    }
    QUIRE_ASSIGN_OR_RETURN(const std::string converted, ConvertPercent(context, *value, spec));
    out += converted;
  }
  if (dict == nullptr && used < given) {
    return TemplateError("not all arguments converted during string formatting");
  }
  return context.MakeText(std::move(out), format.text_or_null()->markup);
}

absl::StatusOr<Value> FormatBraces(Context& context, const Value& format,
                                   const Arguments& arguments) {
  const std::string& text = format.text_or_null()->text;
  Fields fields(context, arguments);
  std::string out;
  for (size_t pos = 0; pos < text.size();) {
    const char c = text[pos++];
    if (c != '{' && c != '}') {
      out += c;
      continue;
    }
    if (pos < text.size() && text[pos] == c) {
      out += c;
      ++pos;
      continue;
    }
    const size_t end = text.find('}', pos);
    if (c == '}' || end == std::string::npos) {
      return TemplateError("Single '", std::string(1, c), "' encountered in format string");
    }
    absl::string_view field = absl::string_view(text).substr(pos, end - pos);
    pos = end + 1;
    const size_t colon = std::min(field.find(':'), field.size());
    const absl::string_view spec = field.substr(std::min(colon + 1, field.size()));
    field = field.substr(0, colon);
    const size_t conversion = std::min(field.find('!'), field.size());
    const absl::string_view how = field.substr(conversion);
    QUIRE_ASSIGN_OR_RETURN(Value value, fields.Find(field.substr(0, conversion)));
    if (!how.empty()) {
      std::string shown;
      QUIRE_RETURN_IF_ERROR(how == "!r" ? AppendRepr(context, value, shown)
                                        : AppendText(context, value, shown));
      value = Value(std::move(shown));
    }
    QUIRE_ASSIGN_OR_RETURN(const std::string formatted, FormatValue(context, value, spec));
    out += formatted;
  }
  return context.MakeText(std::move(out), format.text_or_null()->markup);
}

}  // namespace quire::jinja
