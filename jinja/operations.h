// What the operators do, by Python's rules.
#ifndef QUIRE_JINJA_OPERATIONS_H_
#define QUIRE_JINJA_OPERATIONS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "jinja/ast.h"
#include "jinja/context.h"
#include "jinja/value.h"

namespace quire::jinja {

// The error of using what is undefined; OK where it is not.
absl::Status CheckDefined(const Value& value);

absl::StatusOr<Value> Apply(Context& context, BinaryOperator op, const Value& a, const Value& b);
absl::StatusOr<Value> Negate(Context& context, const Value& value);
absl::StatusOr<bool> Compare(Context& context, Comparison op, const Value& a, const Value& b);
absl::StatusOr<bool> Contains(Context& context, const Value& container, const Value& item);
// "~": the texts of all.
absl::StatusOr<Value> Concatenate(Context& context, const std::vector<Value>& parts);

// object.name: an attribute or method, else the item of this key, else undefined.
absl::StatusOr<Value> GetAttribute(Context& context, const Value& object, absl::string_view name);
// object[key]: an item, else the attribute of this name, else undefined.
absl::StatusOr<Value> GetItem(Context& context, const Value& object, const Value& key);
// object[start:stop:step]; none where a bound is not given.
absl::StatusOr<Value> Slice(Context& context, const Value& object, const Value& start,
                            const Value& stop, const Value& step);

// What a loop over the value gives. Undefined gives nothing; a generator gives each item once.
absl::StatusOr<std::vector<Value>> Iterate(Context& context, const Value& value);
// len(value).
absl::StatusOr<int64_t> Length(Context& context, const Value& value);

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_OPERATIONS_H_
