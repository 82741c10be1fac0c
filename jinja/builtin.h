// Filters, tests, methods and functions that the language brings.
#ifndef QUIRE_JINJA_BUILTIN_H_
#define QUIRE_JINJA_BUILTIN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "jinja/value.h"

namespace quire::jinja {

// One call, its arguments by the builtin's parameters.
struct Call {
  Context& context;
  const Value& self;  // the filtered or tested value, the method's object; none for functions
  std::vector<std::optional<Value>> args;  // by parameter
  const Arguments& all;

  bool has(size_t i) const { return args[i].has_value(); }
  const Value& arg(size_t i) const { return *args[i]; }
  bool TruthOr(size_t i, bool fallback) const { return has(i) ? IsTrue(arg(i)) : fallback; }
  // FAILED_PRECONDITION where the argument is of another type.
  absl::StatusOr<int64_t> IntegerOr(size_t i, int64_t fallback) const;
  absl::StatusOr<absl::string_view> TextOr(size_t i, absl::string_view fallback) const;
};

struct Builtin {
  absl::string_view name;
  absl::StatusOr<Value> (*function)(Call& call);
  std::vector<absl::string_view> parameters = {};
  size_t required = 0;         // the first of the parameters
  bool any_arguments = false;  // the function takes them from `all`
};

// Null where there is none of this name.
const Builtin* FindFilter(absl::string_view name);
const Builtin* FindTest(absl::string_view name);
const Builtin* FindFunction(absl::string_view name);
// Of the value's type.
const Builtin* FindMethod(const Value& self, absl::string_view name);

// FAILED_PRECONDITION for arguments that it does not take.
absl::StatusOr<Value> Invoke(const Builtin& builtin, Context& context, const Value& self,
                             const Arguments& arguments);

// A function, or a method with its object, as a value.
Value MakeFunction(const Builtin& builtin);
Value MakeMethod(const Builtin& builtin, Value self);

// Arguments as what they must be; `what` names them in the message.
absl::StatusOr<int64_t> ToInteger(const Value& value, absl::string_view what);
absl::StatusOr<absl::string_view> ToText(const Value& value, absl::string_view what);

// The tables behind Find.
absl::Span<const Builtin> TextFilters();
absl::Span<const Builtin> NumberFilters();
absl::Span<const Builtin> SequenceFilters();
absl::Span<const Builtin> Tests();
absl::Span<const Builtin> Functions();
absl::Span<const Builtin> TextMethods();
absl::Span<const Builtin> DictMethods();
absl::Span<const Builtin> SequenceMethods();

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_BUILTIN_H_
