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
  QUIRE_RETURN_IF_ERROR(context.SpendItems(items));
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
    if (left.markup != right.markup) {
      // Markup takes what is none escaped.
      return context.MakeText(absl::StrCat(left.markup ? left.text : EscapeHtml(left.text),
                                           right.markup ? right.text : EscapeHtml(right.text)),
                              true);
    }
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
  std::string out;
  for (const Value& part : parts) QUIRE_RETURN_IF_ERROR(AppendText(context, part, out));
  return context.MakeText(std::move(out));
}

}  // namespace quire::jinja
