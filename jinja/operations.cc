#include "jinja/operations.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/status_macros.h"
#include "jinja/builtin.h"
#include "jinja/format.h"
#include "jinja/text.h"

namespace quire::jinja {
namespace {

absl::string_view SymbolOf(BinaryOperator op) {
  constexpr absl::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};
  return kSymbols[static_cast<int>(op)];
}

absl::Status NoOperation(BinaryOperator op, const Value& a, const Value& b) {
  return TemplateError("unsupported operand type(s) for ", SymbolOf(op), ": '", TypeName(a),
                       "' and '", TypeName(b), "'");
}

absl::Status TooLarge() { return TemplateError("an integer is too large: it needs over 64 bits"); }
absl::Status ByZero() { return TemplateError("division by zero"); }

int64_t FloorModulo(int64_t a, int64_t b) {
  if (b == -1) return 0;  // INT64_MIN % -1 overflows
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

absl::StatusOr<Value> IntegerPower(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) return TemplateError("0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  for (int64_t i = 0; i < exponent; ++i) {
    if (base == 1 || base == 0) return Value(base);
    if (base == -1) return Value(int64_t{exponent % 2 == 0 ? 1 : -1});
    if (__builtin_mul_overflow(result, base, &result)) return TooLarge();
  }
  return Value(result);
}

absl::StatusOr<Value> IntegerOperation(BinaryOperator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflows = false;
  switch (op) {
    case BinaryOperator::kAdd:
      overflows = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::kSubtract:
      overflows = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::kMultiply:
      overflows = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::kDivide:
      if (b == 0) return ByZero();
      return Value(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOperator::kFloorDivide:
      if (b == 0) return ByZero();
      if (b == -1) {
        overflows = __builtin_sub_overflow(int64_t{0}, a, &result);
      } else {
        result = a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
      }
      break;
    case BinaryOperator::kModulo:
      if (b == 0) return ByZero();
      result = FloorModulo(a, b);
      break;
    case BinaryOperator::kPower:
      return IntegerPower(a, b);
  }
  if (overflows) return TooLarge();
  return Value(result);
}

absl::StatusOr<Value> FloatOperation(BinaryOperator op, double a, double b) {
  switch (op) {
    case BinaryOperator::kAdd:
      return Value(a + b);
    case BinaryOperator::kSubtract:
      return Value(a - b);
    case BinaryOperator::kMultiply:
      return Value(a * b);
    case BinaryOperator::kDivide:
      if (b == 0) return ByZero();
      return Value(a / b);
    case BinaryOperator::kFloorDivide:
      if (b == 0) return ByZero();
      return Value(std::floor(a / b));
    case BinaryOperator::kModulo: {
      if (b == 0) return ByZero();
      const double rest = std::fmod(a, b);
      return Value(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
    }
    case BinaryOperator::kPower:
      break;
  }
  if (a < 0 && b != std::floor(b)) return TemplateError("a complex number has no place here");
  return Value(std::pow(a, b));
}

absl::StatusOr<Value> Repeat(Context& context, const Value& what, int64_t times) {
  times = std::max<int64_t>(times, 0);
  if (const Text* text = what.text_or_null()) {
    int64_t bytes = 0;
    if (__builtin_mul_overflow(times, static_cast<int64_t>(text->text.size()), &bytes)) {
      return TooLarge();
    }
    QUIRE_RETURN_IF_ERROR(context.SpendBytes(bytes));
    std::string repeated;
    repeated.reserve(static_cast<size_t>(bytes));
    for (int64_t i = 0; i < times && bytes > 0; ++i) repeated += text->text;
    return Value(std::move(repeated), text->markup);
  }
  const Sequence& sequence = *what.sequence_or_null();
  int64_t items = 0;
  if (__builtin_mul_overflow(times, static_cast<int64_t>(sequence.items.size()), &items)) {
    return TooLarge();
  }
  QUIRE_RETURN_IF_ERROR(context.SpendBytes(items));
  std::vector<Value> repeated;
  for (int64_t i = 0; i < times && items > 0; ++i) {
    repeated.insert(repeated.end(), sequence.items.begin(), sequence.items.end());
  }
  return context.MakeSequence(sequence.kind, std::move(repeated));
}

bool CanRepeat(const Value& value) {
  const Sequence* sequence = value.sequence_or_null();
  return value.is_text() || (sequence != nullptr && (sequence->kind == SequenceKind::kList ||
                                                     sequence->kind == SequenceKind::kTuple));
}

absl::StatusOr<Value> Add(Context& context, const Value& a, const Value& b) {
  if (a.is_text() && b.is_text()) {
    const Text& left = *a.text_or_null();
    const Text& right = *b.text_or_null();
    if (left.markup != right.markup) return Concatenate(context, {a, b});
    QUIRE_RETURN_IF_ERROR(
        context.SpendBytes(static_cast<int64_t>(left.text.size() + right.text.size())));
    return Value(absl::StrCat(left.text, right.text), left.markup);
  }
  if (CanRepeat(a) && !a.is_text() && CanRepeat(b) && !b.is_text() && TypeName(a) == TypeName(b)) {
    std::vector<Value> items = a.sequence_or_null()->items;
    const std::vector<Value>& more = b.sequence_or_null()->items;
    items.insert(items.end(), more.begin(), more.end());
    return context.MakeSequence(a.sequence_or_null()->kind, std::move(items));
  }
  if (a.is_text()) {
    return TemplateError("can only concatenate str (not \"", TypeName(b), "\") to str");
  }
  return NoOperation(BinaryOperator::kAdd, a, b);
}

// A position from the end where it is negative, within [low, high].
int64_t ClampIndex(int64_t index, int64_t size, int64_t low, int64_t high) {
  if (index < 0) index += size;
  return std::clamp(index, low, high);
}

// The positions that [start:stop:step] takes of `size`.
absl::StatusOr<std::vector<int64_t>> SlicePositions(Context& context, int64_t size,
                                                    const Value& start, const Value& stop,
                                                    const Value& step) {
  int64_t stride = 1;
  if (!step.is_none()) {
    QUIRE_ASSIGN_OR_RETURN(stride, ToInteger(step, "a slice's step"));
  }
  if (stride == 0) return TemplateError("slice step cannot be zero");
  const int64_t low = stride > 0 ? 0 : -1;
  const int64_t high = stride > 0 ? size : size - 1;
  int64_t begin = stride > 0 ? low : high;
  int64_t end = stride > 0 ? high : low;
  if (!start.is_none()) {
    QUIRE_ASSIGN_OR_RETURN(begin, ToInteger(start, "a slice's start"));
    begin = ClampIndex(begin, size, low, high);
  }
  if (!stop.is_none()) {
    QUIRE_ASSIGN_OR_RETURN(end, ToInteger(stop, "a slice's end"));
    end = ClampIndex(end, size, low, high);
  }
  // Larger strides take no more than the first.
  stride = std::clamp(stride, -size - 1, size + 1);
  std::vector<int64_t> positions;
  for (int64_t at = begin; stride > 0 ? at < end : at > end; at += stride) positions.push_back(at);
  QUIRE_RETURN_IF_ERROR(context.Spend(static_cast<int64_t>(positions.size())));
  return positions;
}

absl::StatusOr<Value> SliceText(Context& context, const Text& text, const Value& start,
                                const Value& stop, const Value& step) {
  QUIRE_RETURN_IF_ERROR(context.SpendBytes(static_cast<int64_t>(text.text.size())));
  const std::vector<absl::string_view> characters = Characters(text.text);
  QUIRE_ASSIGN_OR_RETURN(
      const std::vector<int64_t> positions,
      SlicePositions(context, static_cast<int64_t>(characters.size()), start, stop, step));
  std::string out;
  for (int64_t at : positions) {
    out.append(characters[static_cast<size_t>(at)].data(),
               characters[static_cast<size_t>(at)].size());
  }
  return Value(std::move(out), text.markup);
}

// Item `index` of a text or sequence; nullopt where there is none.
std::optional<Value> ItemAt(const Value& object, int64_t index) {
  if (const Text* text = object.text_or_null()) {
    const int64_t size = CountCharacters(text->text);
    if (index < 0) index += size;
    if (index < 0 || index >= size) return std::nullopt;
    const size_t begin = ByteOf(text->text, index);
    return Value(text->text.substr(begin, ByteOf(absl::string_view(text->text).substr(begin), 1)),
                 text->markup);
  }
  const Sequence* sequence = object.sequence_or_null();
  if (sequence == nullptr || sequence->kind > SequenceKind::kRange) return std::nullopt;
  const auto size = static_cast<int64_t>(sequence->items.size());
  if (index < 0) index += size;
  if (index < 0 || index >= size) return std::nullopt;
  return sequence->items[static_cast<size_t>(index)];
}

// What the object's type has under the name; nullopt: nothing.
absl::StatusOr<std::optional<Value>> TypeAttribute(Context& context, const Value& object,
                                                   absl::string_view name) {
  if (Object* with_attributes = object.object_or_null()) {
    return with_attributes->Attribute(context, name);
  }
  const Builtin* method = FindMethod(object, name);
  if (method == nullptr) return std::optional<Value>();
  QUIRE_RETURN_IF_ERROR(context.Spend(1));
  return std::optional<Value>(MakeMethod(*method, object));
}

Value NoAttribute(const Value& object, absl::string_view name) {
  return Value::MakeUndefined(
      absl::StrCat("'", TypeName(object), " object' has no attribute '", name, "'"));
}

}  // namespace

absl::Status CheckDefined(const Value& value) {
  const Undefined* undefined = value.undefined_or_null();
  return undefined == nullptr ? absl::OkStatus() : TemplateError(*undefined->why);
}

absl::StatusOr<Value> Apply(Context& context, BinaryOperator op, const Value& a, const Value& b) {
  if (op == BinaryOperator::kModulo && a.is_text()) return FormatPercent(context, a, b);
  QUIRE_RETURN_IF_ERROR(CheckDefined(a));
  QUIRE_RETURN_IF_ERROR(CheckDefined(b));
  if (a.integer() && b.integer()) return IntegerOperation(op, *a.integer(), *b.integer());
  if (a.number() && b.number()) return FloatOperation(op, *a.number(), *b.number());
  if (op == BinaryOperator::kAdd) return Add(context, a, b);
  if (op == BinaryOperator::kMultiply) {
    if (CanRepeat(a) && b.integer()) return Repeat(context, a, *b.integer());
    if (CanRepeat(b) && a.integer()) return Repeat(context, b, *a.integer());
  }
  return NoOperation(op, a, b);
}

absl::StatusOr<Value> Negate(Context& /*context*/, const Value& value) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(value));
  if (const std::optional<int64_t> integer = value.integer()) {
    return IntegerOperation(BinaryOperator::kSubtract, 0, *integer);
  }
  if (value.is_float()) return Value(-*value.number());
  return TemplateError("bad operand type for unary -: '", TypeName(value), "'");
}

absl::StatusOr<bool> Contains(Context& context, const Value& container, const Value& item) {
  QUIRE_RETURN_IF_ERROR(context.Walk(container));
  QUIRE_RETURN_IF_ERROR(context.Walk(item));
  if (const Text* text = container.text_or_null()) {
    const Text* part = item.text_or_null();
    if (part == nullptr) {
      QUIRE_RETURN_IF_ERROR(CheckDefined(item));
      return TemplateError("'in <string>' requires string as left operand, not ", TypeName(item));
    }
    return text->text.find(part->text) != std::string::npos;
  }
  if (const Dict* dict = container.dict_or_null()) {
    if (!IsHashable(item)) return TemplateError("unhashable type: '", TypeName(item), "'");
    return dict->Find(item) != nullptr;
  }
  if (container.sequence_or_null() != nullptr || container.is_undefined()) {
    QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(context, container));
    QUIRE_RETURN_IF_ERROR(
        context.Spend(ExtentOf(item).weight * static_cast<int64_t>(items.size())));
    return std::any_of(items.begin(), items.end(),
                       [&item](const Value& one) { return Equals(one, item); });
  }
  return TemplateError("argument of type '", TypeName(container), "' is not iterable");
}

absl::StatusOr<bool> Compare(Context& context, Comparison op, const Value& a, const Value& b) {
  if (op == Comparison::kIn) return Contains(context, b, a);
  if (op == Comparison::kNotIn) {
    QUIRE_ASSIGN_OR_RETURN(const bool contains, Contains(context, b, a));
    return !contains;
  }
  QUIRE_RETURN_IF_ERROR(context.Walk(a));
  QUIRE_RETURN_IF_ERROR(context.Walk(b));
  const bool has_nan =
      (a.is_float() && std::isnan(*a.number())) || (b.is_float() && std::isnan(*b.number()));
  switch (op) {
    case Comparison::kEqual:
      return Equals(a, b);
    case Comparison::kNotEqual:
      return !Equals(a, b);
    case Comparison::kLess:
      return Less(a, b);
    case Comparison::kGreater:
      return Less(b, a);
    case Comparison::kLessOrEqual: {
      QUIRE_ASSIGN_OR_RETURN(const bool more, Less(b, a));
      return !more && !has_nan;
    }
    default: {
      QUIRE_ASSIGN_OR_RETURN(const bool less, Less(a, b));
      return !less && !has_nan;
    }
  }
}

absl::StatusOr<Value> Concatenate(Context& context, const std::vector<Value>& parts) {
  const bool markup = std::any_of(parts.begin(), parts.end(), [](const Value& part) {
    return part.is_text() && part.text_or_null()->markup;
  });
  std::string out;
  for (const Value& part : parts) {
    const Text* text = part.text_or_null();
    if (!markup || (text != nullptr && text->markup)) {
      QUIRE_RETURN_IF_ERROR(AppendText(context, part, out));
    } else {
      std::string plain;
      QUIRE_RETURN_IF_ERROR(AppendText(context, part, plain));
      out += EscapeHtml(plain);
    }
  }
  return context.MakeText(std::move(out), markup);
}

absl::StatusOr<Value> GetAttribute(Context& context, const Value& object, absl::string_view name) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(object));
  QUIRE_ASSIGN_OR_RETURN(const std::optional<Value> attribute,
                         TypeAttribute(context, object, name));
  if (attribute) return *attribute;
  if (const Dict* dict = object.dict_or_null()) {
    if (const Value* item = dict->Find(name)) return *item;
  }
  return NoAttribute(object, name);
}

absl::StatusOr<Value> GetItem(Context& context, const Value& object, const Value& key) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(object));
  QUIRE_RETURN_IF_ERROR(context.Walk(key));
  if (const Dict* dict = object.dict_or_null()) {
    const Value* item = IsHashable(key) ? dict->Find(key) : nullptr;
    if (item != nullptr) return *item;
  } else if (const std::optional<int64_t> index = key.integer()) {
    if (object.is_text()) QUIRE_RETURN_IF_ERROR(context.Walk(object));
    if (std::optional<Value> item = ItemAt(object, *index)) return *std::move(item);
  }
  if (const Text* name = key.text_or_null()) {
    QUIRE_ASSIGN_OR_RETURN(const std::optional<Value> attribute,
                           TypeAttribute(context, object, name->text));
    return attribute ? *attribute : NoAttribute(object, name->text);
  }
  std::string shown;
  QUIRE_RETURN_IF_ERROR(AppendRepr(context, key, shown));
  return Value::MakeUndefined(
      absl::StrCat("'", TypeName(object), " object' has no element ", shown));
}

absl::StatusOr<Value> Slice(Context& context, const Value& object, const Value& start,
                            const Value& stop, const Value& step) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(object));
  if (const Text* text = object.text_or_null()) {
    return SliceText(context, *text, start, stop, step);
  }
  const Sequence* sequence = object.sequence_or_null();
  if (sequence == nullptr || sequence->kind > SequenceKind::kRange) {
    return Value::MakeUndefined(absl::StrCat("'", TypeName(object), " object' cannot be sliced"));
  }
  QUIRE_ASSIGN_OR_RETURN(
      const std::vector<int64_t> positions,
      SlicePositions(context, static_cast<int64_t>(sequence->items.size()), start, stop, step));
  std::vector<Value> items;
  for (int64_t at : positions) items.push_back(sequence->items[static_cast<size_t>(at)]);
  return context.MakeSequence(sequence->kind, std::move(items));
}

absl::StatusOr<std::vector<Value>> Iterate(Context& context, const Value& value) {
  std::vector<Value> items;
  if (const Sequence* sequence = value.sequence_or_null()) {
    QUIRE_RETURN_IF_ERROR(context.Spend(static_cast<int64_t>(sequence->items.size())));
    if (sequence->kind != SequenceKind::kGenerator) return sequence->items;
    items.assign(sequence->items.begin() + static_cast<std::ptrdiff_t>(sequence->taken),
                 sequence->items.end());
    sequence->taken = sequence->items.size();
  } else if (const Dict* dict = value.dict_or_null()) {
    QUIRE_RETURN_IF_ERROR(context.Spend(static_cast<int64_t>(dict->items.size())));
    for (const auto& [key, ignored] : dict->items) items.push_back(key);
  } else if (const Text* text = value.text_or_null()) {
    const auto bytes = static_cast<int64_t>(text->text.size());
    QUIRE_RETURN_IF_ERROR(context.Spend(bytes));
    for (absl::string_view character : Characters(text->text)) {
      items.push_back(Value(std::string(character), text->markup));
    }
  } else if (!value.is_undefined()) {
    return TemplateError("'", TypeName(value), "' object is not iterable");
  }
  return items;
}

absl::StatusOr<int64_t> Length(Context& context, const Value& value) {
  if (const Text* text = value.text_or_null()) {
    QUIRE_RETURN_IF_ERROR(context.Walk(value));
    return CountCharacters(text->text);
  }
  const Sequence* sequence = value.sequence_or_null();
  if (sequence != nullptr && sequence->kind != SequenceKind::kGenerator) {
    return static_cast<int64_t>(sequence->items.size());
  }
  if (const Dict* dict = value.dict_or_null()) return static_cast<int64_t>(dict->items.size());
  if (value.is_undefined()) return 0;
  return TemplateError("object of type '", TypeName(value), "' has no len()");
}

}  // namespace quire::jinja
