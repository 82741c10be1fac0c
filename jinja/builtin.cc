#include "jinja/builtin.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "core/status_macros.h"
#include "jinja/context.h"
#include "jinja/operations.h"

namespace quire::jinja {
namespace {

using Table = absl::flat_hash_map<absl::string_view, const Builtin*>;

Table MakeTable(std::initializer_list<absl::Span<const Builtin>> parts) {
  Table table;
  for (absl::Span<const Builtin> part : parts) {
    for (const Builtin& builtin : part) table.emplace(builtin.name, &builtin);
  }
  return table;
}

const Builtin* FindIn(const Table& table, absl::string_view name) {
  const auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

class BoundBuiltin : public Object {
 public:
  BoundBuiltin(const Builtin& builtin, Value self, absl::string_view type_name)
      : builtin_(builtin), self_(std::move(self)), type_name_(type_name) {}

  absl::string_view type_name() const override { return type_name_; }
  int depth() const override { return ExtentOf(self_).depth + 1; }
  bool callable() const override { return true; }
  absl::StatusOr<Value> Call(Context& context, const Arguments& arguments) override {
    return Invoke(builtin_, context, self_, arguments);
  }

 private:
  const Builtin& builtin_;
  const Value self_;
  const absl::string_view type_name_;
};

}  // namespace

const Builtin* FindFilter(absl::string_view name) {
  static const Table& table =
      *new Table(MakeTable({TextFilters(), NumberFilters(), SequenceFilters()}));
  return FindIn(table, name);
}

const Builtin* FindTest(absl::string_view name) {
  static const Table& table = *new Table(MakeTable({Tests()}));
  return FindIn(table, name);
}

const Builtin* FindFunction(absl::string_view name) {
  static const Table& table = *new Table(MakeTable({Functions()}));
  return FindIn(table, name);
}

const Builtin* FindMethod(const Value& self, absl::string_view name) {
  static const Table& of_texts = *new Table(MakeTable({TextMethods()}));
  static const Table& of_dicts = *new Table(MakeTable({DictMethods()}));
  static const Table& of_sequences = *new Table(MakeTable({SequenceMethods()}));
  if (self.is_text()) return FindIn(of_texts, name);
  if (self.dict_or_null() != nullptr) return FindIn(of_dicts, name);
  const Sequence* sequence = self.sequence_or_null();
  return sequence != nullptr && sequence->kind <= SequenceKind::kRange ? FindIn(of_sequences, name)
                                                                       : nullptr;
}

absl::StatusOr<Value> Invoke(const Builtin& builtin, Context& context, const Value& self,
                             const Arguments& arguments) {
  Call call{.context = context, .self = self, .args = {}, .all = arguments};
  if (builtin.any_arguments) return builtin.function(call);
  if (arguments.positional.size() > builtin.parameters.size()) {
    return TemplateError(builtin.name, "() takes at most ", builtin.parameters.size(),
                         " arguments, but ", arguments.positional.size(), " were given");
  }
  call.args.assign(arguments.positional.begin(), arguments.positional.end());
  call.args.resize(builtin.parameters.size());
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(builtin.parameters.begin(), builtin.parameters.end(), name);
    const auto index = static_cast<size_t>(found - builtin.parameters.begin());
    if (found == builtin.parameters.end() || call.args[index]) {
      return TemplateError(builtin.name, "() got ",
                           found == builtin.parameters.end() ? "an unexpected" : "twice the",
                           " argument '", name, "'");
    }
    call.args[index] = value;
  }
  for (size_t i = 0; i < builtin.required; ++i) {
    if (call.args[i]) continue;
    return TemplateError(builtin.name, "() misses the argument '", builtin.parameters[i], "'");
  }
  return builtin.function(call);
}

Value MakeFunction(const Builtin& builtin) {
  return Value(
      std::shared_ptr<Object>(std::make_shared<BoundBuiltin>(builtin, Value(), "function")));
}

Value MakeMethod(const Builtin& builtin, Value self) {
  return Value(std::shared_ptr<Object>(
      std::make_shared<BoundBuiltin>(builtin, std::move(self), "builtin_function_or_method")));
}

absl::StatusOr<int64_t> ToInteger(const Value& value, absl::string_view what) {
  if (const std::optional<int64_t> integer = value.integer()) return *integer;
  QUIRE_RETURN_IF_ERROR(CheckDefined(value));
  return TemplateError(what, " must be an integer, not ", TypeName(value));
}

absl::StatusOr<absl::string_view> ToText(const Value& value, absl::string_view what) {
  if (const Text* text = value.text_or_null()) return absl::string_view(text->text);
  QUIRE_RETURN_IF_ERROR(CheckDefined(value));
  return TemplateError(what, " must be a string, not ", TypeName(value));
}

absl::StatusOr<int64_t> Call::IntegerOr(size_t i, int64_t fallback) const {
  return has(i) ? ToInteger(arg(i), "an argument") : fallback;
}

absl::StatusOr<absl::string_view> Call::TextOr(size_t i, absl::string_view fallback) const {
  return has(i) ? ToText(arg(i), "an argument") : fallback;
}

}  // namespace quire::jinja
