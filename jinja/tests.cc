// What may follow "is".
#include <cmath>

#include "core/status_macros.h"
#include "jinja/builtin.h"
#include "jinja/context.h"
#include "jinja/operations.h"
#include "jinja/text.h"

namespace quire::jinja {
namespace {

using Result = absl::StatusOr<Value>;

template <Comparison op>
Result CompareTest(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const bool holds, Compare(call.context, op, call.self, call.arg(0)));
  return Value(holds);
}

// x % divisor == rest.
Result HasRest(Call& call, const Value& divisor, int64_t rest) {
  QUIRE_ASSIGN_OR_RETURN(const Value got,
                         Apply(call.context, BinaryOperator::kModulo, call.self, divisor));
  return Value(Equals(got, Value(rest)));
}

Result IsSame(Call& call) {
  const Value& other = call.arg(0);
  if (TypeName(call.self) != TypeName(other)) return Value(false);
  if (call.self.sequence_or_null() != nullptr) {
    return Value(call.self.sequence_or_null() == other.sequence_or_null());
  }
  if (call.self.dict_or_null() != nullptr) {
    return Value(call.self.dict_or_null() == other.dict_or_null());
  }
  QUIRE_RETURN_IF_ERROR(call.context.Walk(other));
  return Value(Equals(call.self, other));
}

bool IsInteger(const Value& value) { return value.int_or_null() != nullptr; }

bool IsIterable(const Value& value) {
  return value.is_text() || value.is_undefined() || value.sequence_or_null() != nullptr ||
         value.dict_or_null() != nullptr;
}

bool HasItems(const Value& value) {
  const Sequence* sequence = value.sequence_or_null();
  return value.is_text() || value.is_undefined() || value.dict_or_null() != nullptr ||
         (sequence != nullptr && sequence->kind <= SequenceKind::kRange);
}

Result HasCase(Call& call, CharacterClass wanted) {
  QUIRE_ASSIGN_OR_RETURN(const Value shown, Concatenate(call.context, {call.self}));
  return Value(IsAll(shown.text_or_null()->text, wanted));
}

bool IsTruth(const Value& value, bool wanted) {
  const bool* truth = value.bool_or_null();
  return truth != nullptr && *truth == wanted;
}

}  // namespace

absl::Span<const Builtin> Tests() {
  static const std::vector<Builtin>& tests = *new std::vector<Builtin>{
      {"boolean", [](Call& call) -> Result { return Value(call.self.is_bool()); }},
      {"callable",
       [](Call& call) -> Result {
         const Object* object = call.self.object_or_null();
         return Value(object != nullptr && object->callable());
       }},
      {"defined", [](Call& call) -> Result { return Value(!call.self.is_undefined()); }},
      {"divisibleby", [](Call& call) { return HasRest(call, call.arg(0), 0); }, {"num"}, 1},
      {"escaped",
       [](Call& call) -> Result {
         return Value(call.self.is_text() && call.self.text_or_null()->markup);
       }},
      {"even", [](Call& call) { return HasRest(call, Value(int64_t{2}), 0); }},
      {"false", [](Call& call) -> Result { return Value(IsTruth(call.self, false)); }},
      {"filter",
       [](Call& call) -> Result {
         const Text* name = call.self.text_or_null();
         return Value(name != nullptr && FindFilter(name->text) != nullptr);
       }},
      {"float", [](Call& call) -> Result { return Value(call.self.is_float()); }},
      {"integer", [](Call& call) -> Result { return Value(IsInteger(call.self)); }},
      {"iterable", [](Call& call) -> Result { return Value(IsIterable(call.self)); }},
      {"lower", [](Call& call) { return HasCase(call, CharacterClass::kLower); }},
      {"mapping", [](Call& call) -> Result { return Value(call.self.dict_or_null() != nullptr); }},
      {"none", [](Call& call) -> Result { return Value(call.self.is_none()); }},
      {"number", [](Call& call) -> Result { return Value(call.self.number().has_value()); }},
      {"odd", [](Call& call) { return HasRest(call, Value(int64_t{2}), 1); }},
      {"sameas", IsSame, {"other"}, 1},
      {"sequence", [](Call& call) -> Result { return Value(HasItems(call.self)); }},
      {"string", [](Call& call) -> Result { return Value(call.self.is_text()); }},
      {"test",
       [](Call& call) -> Result {
         const Text* name = call.self.text_or_null();
         return Value(name != nullptr && FindTest(name->text) != nullptr);
       }},
      {"true", [](Call& call) -> Result { return Value(IsTruth(call.self, true)); }},
      {"undefined", [](Call& call) -> Result { return Value(call.self.is_undefined()); }},
      {"upper", [](Call& call) { return HasCase(call, CharacterClass::kUpper); }},
      {"in", CompareTest<Comparison::kIn>, {"seq"}, 1},
      {"==", CompareTest<Comparison::kEqual>, {"other"}, 1},
      {"eq", CompareTest<Comparison::kEqual>, {"other"}, 1},
      {"equalto", CompareTest<Comparison::kEqual>, {"other"}, 1},
      {"!=", CompareTest<Comparison::kNotEqual>, {"other"}, 1},
      {"ne", CompareTest<Comparison::kNotEqual>, {"other"}, 1},
      {">", CompareTest<Comparison::kGreater>, {"other"}, 1},
      {"gt", CompareTest<Comparison::kGreater>, {"other"}, 1},
      {"greaterthan", CompareTest<Comparison::kGreater>, {"other"}, 1},
      {">=", CompareTest<Comparison::kGreaterOrEqual>, {"other"}, 1},
      {"ge", CompareTest<Comparison::kGreaterOrEqual>, {"other"}, 1},
      {"<", CompareTest<Comparison::kLess>, {"other"}, 1},
      {"lt", CompareTest<Comparison::kLess>, {"other"}, 1},
      {"lessthan", CompareTest<Comparison::kLess>, {"other"}, 1},
      {"<=", CompareTest<Comparison::kLessOrEqual>, {"other"}, 1},
      {"le", CompareTest<Comparison::kLessOrEqual>, {"other"}, 1},
  };
  return tests;
}

}  // namespace quire::jinja
