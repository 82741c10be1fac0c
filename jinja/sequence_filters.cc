// Filters of lists, dicts and whatever else has items.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/status_macros.h"
#include "jinja/builtin.h"
#include "jinja/context.h"
#include "jinja/format.h"
#include "jinja/operations.h"
#include "jinja/text.h"

namespace quire::jinja {
namespace {

using Result = absl::StatusOr<Value>;

bool IsGiven(const Call& call, size_t i) { return call.has(i) && !call.arg(i).is_none(); }

// The items of what is true, and none of what is false, whatever its type.
absl::StatusOr<std::vector<Value>> ItemsIfTrue(Call& call) {
  if (!IsTrue(call.self)) return std::vector<Value>();
  return Iterate(call.context, call.self);
}

Result MakeGenerator(Call& call, std::vector<Value> items) {
  return call.context.MakeSequence(SequenceKind::kGenerator, std::move(items));
}

// item.a.b for "a.b"; numbers are positions.
Result Lookup(Context& context, Value item, const Value& path) {
  if (!path.is_text()) return GetItem(context, item, path);
  for (absl::string_view part : absl::StrSplit(path.text_or_null()->text, '.')) {
    int64_t index = 0;
    const bool is_number = !part.empty() &&
                           part.find_first_not_of("0123456789") == absl::string_view::npos &&
                           absl::SimpleAtoi(part, &index);
    QUIRE_ASSIGN_OR_RETURN(item, GetItem(context, item, is_number ? Value(index) : Value(part)));
  }
  return item;
}

// What an item is ordered or told apart by.
Result KeyOf(Context& context, const Value& item, const Value* attribute, bool case_sensitive) {
  Value key = item;
  if (attribute != nullptr) {
    QUIRE_ASSIGN_OR_RETURN(key, Lookup(context, item, *attribute));
  }
  if (case_sensitive || !key.is_text()) return key;
  return context.MakeText(Lower(key.text_or_null()->text));
}

// The key of an "a,b" attribute is a list of both.
Result SortKey(Context& context, const Value& item, const Value* attribute, bool case_sensitive) {
  std::vector<Value> keys;
  if (attribute == nullptr || !attribute->is_text()) {
    QUIRE_ASSIGN_OR_RETURN(Value key, KeyOf(context, item, attribute, case_sensitive));
    keys.push_back(std::move(key));
  } else {
    for (absl::string_view part : absl::StrSplit(attribute->text_or_null()->text, ',')) {
      const Value path(part);
      QUIRE_ASSIGN_OR_RETURN(Value key, KeyOf(context, item, &path, case_sensitive));
      keys.push_back(std::move(key));
    }
  }
  return context.MakeList(std::move(keys));
}

using Keyed = std::pair<Value, Value>;  // key, item

absl::Status SortKeyed(Context& context, std::vector<Keyed>& items, bool reverse) {
  absl::Status status;
  const auto less = [&](const Keyed& a, const Keyed& b) {
    if (!status.ok()) return false;
    status = context.Spend(ExtentOf(a.first).weight + ExtentOf(b.first).weight);
    if (!status.ok()) return false;
    const absl::StatusOr<bool> result = reverse ? Less(b.first, a.first) : Less(a.first, b.first);
    if (!result.ok()) status = result.status();
    return result.ok() && *result;
  };
  // Merging asks for no consistent order, which a mixed list might lack.
  std::stable_sort(items.begin(), items.end(), less);
  return status;
}

Result Sort(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.context, call.self));
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    QUIRE_ASSIGN_OR_RETURN(Value key,
                           SortKey(call.context, item, IsGiven(call, 2) ? &call.arg(2) : nullptr,
                                   call.TruthOr(1, false)));
    keyed.emplace_back(std::move(key), item);
  }
  QUIRE_RETURN_IF_ERROR(SortKeyed(call.context, keyed, call.TruthOr(0, false)));
  std::vector<Value> sorted;
  for (Keyed& one : keyed) sorted.push_back(std::move(one.second));
  return call.context.MakeList(std::move(sorted));
}

Result DictSort(Call& call) {
  const Dict* dict = call.self.dict_or_null();
  if (dict == nullptr) return TemplateError("dictsort takes a mapping, not ", TypeName(call.self));
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view by, call.TextOr(1, "key"));
  if (by != "key" && by != "value") return TemplateError("dictsort goes by key or by value");
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : dict->items) {
    QUIRE_ASSIGN_OR_RETURN(Value order, KeyOf(call.context, by == "key" ? key : value, nullptr,
                                              call.TruthOr(0, false)));
    QUIRE_ASSIGN_OR_RETURN(Value pair,
                           call.context.MakeSequence(SequenceKind::kTuple, {key, value}));
    keyed.emplace_back(std::move(order), std::move(pair));
  }
  QUIRE_RETURN_IF_ERROR(SortKeyed(call.context, keyed, call.TruthOr(2, false)));
  std::vector<Value> sorted;
  for (Keyed& one : keyed) sorted.push_back(std::move(one.second));
  return call.context.MakeList(std::move(sorted));
}

template <bool largest>
Result Extreme(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.context, call.self));
  if (items.empty()) return Value::MakeUndefined("No aggregated item, sequence was empty.");
  std::optional<Keyed> best;
  for (const Value& item : items) {
    QUIRE_ASSIGN_OR_RETURN(Value key,
                           KeyOf(call.context, item, IsGiven(call, 1) ? &call.arg(1) : nullptr,
                                 call.TruthOr(0, false)));
    if (best) {
      QUIRE_RETURN_IF_ERROR(call.context.Walk(key));
      QUIRE_ASSIGN_OR_RETURN(const bool better,
                             largest ? Less(best->first, key) : Less(key, best->first));
      if (!better) continue;
    }
    best.emplace(std::move(key), item);
  }
  return best->second;
}

Result Unique(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.context, call.self));
  Dict seen;
  std::vector<Value> unique;
  for (const Value& item : items) {
    QUIRE_ASSIGN_OR_RETURN(Value key,
                           KeyOf(call.context, item, IsGiven(call, 1) ? &call.arg(1) : nullptr,
                                 call.TruthOr(0, false)));
    if (!IsHashable(key)) return TemplateError("unhashable type: '", TypeName(key), "'");
    QUIRE_RETURN_IF_ERROR(call.context.Walk(key));
    if (seen.Find(key) != nullptr) continue;
    seen.Set(std::move(key), Value());
    unique.push_back(item);
  }
  return MakeGenerator(call, std::move(unique));
}

Result Sum(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.context, call.self));
  Value sum = call.has(1) ? call.arg(1) : Value(int64_t{0});
  if (sum.is_text()) return TemplateError("sum can't sum strings; use join");
  for (Value item : items) {
    if (IsGiven(call, 0)) {
      QUIRE_ASSIGN_OR_RETURN(item, Lookup(call.context, item, call.arg(0)));
    }
    QUIRE_ASSIGN_OR_RETURN(sum, Apply(call.context, BinaryOperator::kAdd, sum, item));
  }
  return sum;
}

Result Default(Call& call) {
  const bool missing = call.self.is_undefined() || (call.TruthOr(1, false) && !IsTrue(call.self));
  if (!missing) return call.self;
  return call.has(0) ? call.arg(0) : Value("");
}

Result First(Call& call) {
  if (const Text* text = call.self.text_or_null()) {
    if (text->text.empty()) return Value::MakeUndefined("No first item, sequence was empty.");
    return GetItem(call.context, call.self, Value(int64_t{0}));
  }
  const Sequence* sequence = call.self.sequence_or_null();
  if (sequence != nullptr && sequence->kind == SequenceKind::kGenerator &&
      sequence->taken < sequence->items.size()) {
    return sequence->items[sequence->taken++];
  }
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.context, call.self));
  if (items.empty()) return Value::MakeUndefined("No first item, sequence was empty.");
  return items.front();
}

Result Last(Call& call) {
  const Sequence* sequence = call.self.sequence_or_null();
  if (sequence != nullptr && sequence->kind == SequenceKind::kGenerator) {
    return TemplateError("'generator' object is not reversible");
  }
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.context, call.self));
  if (items.empty()) return Value::MakeUndefined("No last item, sequence was empty.");
  return items.back();
}

Result Reverse(Call& call) {
  if (call.self.is_text()) {
    return Slice(call.context, call.self, Value(), Value(), Value(int64_t{-1}));
  }
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(call.context, call.self));
  std::reverse(items.begin(), items.end());
  return MakeGenerator(call, std::move(items));
}

Result Join(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.context, call.self));
  std::string separator;
  if (call.has(0)) QUIRE_RETURN_IF_ERROR(AppendText(call.context, call.arg(0), separator));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (IsGiven(call, 1)) {
      QUIRE_ASSIGN_OR_RETURN(item, Lookup(call.context, item, call.arg(1)));
    }
    if (i > 0) out += separator;
    QUIRE_RETURN_IF_ERROR(AppendText(call.context, item, out));
  }
  return call.context.MakeText(std::move(out));
}

Result Items(Call& call) {
  if (call.self.is_undefined()) return MakeGenerator(call, {});
  if (call.self.dict_or_null() == nullptr) {
    return TemplateError("Can only get item pairs from a mapping.");
  }
  QUIRE_ASSIGN_OR_RETURN(const Value view,
                         Invoke(*FindMethod(call.self, "items"), call.context, call.self, {}));
  return MakeGenerator(call, view.sequence_or_null()->items);
}

Result ToList(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(call.context, call.self));
  return call.context.MakeList(std::move(items));
}

Result Batch(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(call.context, call.self));
  QUIRE_ASSIGN_OR_RETURN(const int64_t size, ToInteger(call.arg(0), "batch's size"));
  if (size < 1 || size > call.context.limits().max_steps) {
    return TemplateError("batch's size is ", size);
  }
  std::vector<Value> batches;
  for (size_t begin = 0; begin < items.size(); begin += static_cast<size_t>(size)) {
    const size_t end = std::min(items.size(), begin + static_cast<size_t>(size));
    std::vector<Value> batch(items.begin() + static_cast<std::ptrdiff_t>(begin),
                             items.begin() + static_cast<std::ptrdiff_t>(end));
    if (IsGiven(call, 1)) {
      QUIRE_RETURN_IF_ERROR(call.context.SpendItems(size));
      batch.resize(static_cast<size_t>(size), call.arg(1));
    }
    QUIRE_ASSIGN_OR_RETURN(Value made, call.context.MakeList(std::move(batch)));
    batches.push_back(std::move(made));
  }
  return MakeGenerator(call, std::move(batches));
}

// The attribute of the object alone, never an item.
Result Attribute(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view name, ToText(call.arg(0), "attr's name"));
  if (call.self.dict_or_null() != nullptr && FindMethod(call.self, name) == nullptr) {
    return Value::MakeUndefined(absl::StrCat("'dict object' has no attribute '", name, "'"));
  }
  return GetAttribute(call.context, call.self, name);
}

// A call of the filter or test that the arguments from `from` on name.
Arguments Rest(const Arguments& all, size_t from) {
  Arguments rest;
  rest.positional.assign(all.positional.begin() + static_cast<std::ptrdiff_t>(from),
                         all.positional.end());
  rest.named = all.named;
  return rest;
}

Result Map(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, ItemsIfTrue(call));
  std::vector<Value> mapped;
  if (call.all.positional.empty()) {
    const Value* attribute = nullptr;
    const Value* fallback = nullptr;
    for (const auto& [name, value] : call.all.named) {
      if (name == "attribute") attribute = &value;
      if (name == "default" && !value.is_none()) fallback = &value;
    }
    if (attribute == nullptr) return TemplateError("map requires a filter or an attribute");
    for (const Value& item : items) {
      QUIRE_ASSIGN_OR_RETURN(Value found, Lookup(call.context, item, *attribute));
      mapped.push_back(found.is_undefined() && fallback != nullptr ? *fallback : std::move(found));
    }
    return MakeGenerator(call, std::move(mapped));
  }
  QUIRE_ASSIGN_OR_RETURN(const absl::string_view name,
                         ToText(call.all.positional[0], "map's filter"));
  const Builtin* filter = FindFilter(name);
  if (filter == nullptr) return TemplateError("there is no filter named '", name, "'");
  const Arguments arguments = Rest(call.all, 1);
  for (const Value& item : items) {
    QUIRE_ASSIGN_OR_RETURN(Value made, Invoke(*filter, call.context, item, arguments));
    mapped.push_back(std::move(made));
  }
  return MakeGenerator(call, std::move(mapped));
}

template <bool wanted, bool by_attribute>
Result Select(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<Value> items, ItemsIfTrue(call));
  const std::vector<Value>& given = call.all.positional;
  constexpr size_t kTest = by_attribute ? 1 : 0;
  if (given.size() < kTest) return TemplateError("Missing parameter for attribute name");
  const Builtin* test = nullptr;
  Arguments arguments;
  if (given.size() > kTest) {
    QUIRE_ASSIGN_OR_RETURN(const absl::string_view name, ToText(given[kTest], "the test's name"));
    test = FindTest(name);
    if (test == nullptr) return TemplateError("there is no test named '", name, "'");
    arguments = Rest(call.all, kTest + 1);
  }
  std::vector<Value> selected;
  for (const Value& item : items) {
    Value tested = item;
    if (by_attribute) {
      QUIRE_ASSIGN_OR_RETURN(tested, Lookup(call.context, item, given[0]));
    }
    if (test != nullptr) {
      QUIRE_ASSIGN_OR_RETURN(tested, Invoke(*test, call.context, tested, arguments));
    }
    if (IsTrue(tested) == wanted) selected.push_back(item);
  }
  return MakeGenerator(call, std::move(selected));
}

Result CountItems(Call& call) {
  QUIRE_ASSIGN_OR_RETURN(const int64_t length, Length(call.context, call.self));
  return Value(length);
}

}  // namespace

absl::Span<const Builtin> SequenceFilters() {
  static const std::vector<Builtin>& filters = *new std::vector<Builtin>{
      {"attr", Attribute, {"name"}, 1},
      {"batch", Batch, {"linecount", "fill_with"}, 1},
      {"count", CountItems},
      {"d", Default, {"default_value", "boolean"}},
      {"default", Default, {"default_value", "boolean"}},
      {"dictsort", DictSort, {"case_sensitive", "by", "reverse"}},
      {"first", First},
      {"items", Items},
      {"join", Join, {"d", "attribute"}},
      {"last", Last},
      {"length", CountItems},
      {"list", ToList},
      {"map", Map, {}, 0, true},
      {"max", Extreme<true>, {"case_sensitive", "attribute"}},
      {"min", Extreme<false>, {"case_sensitive", "attribute"}},
      {"reject", Select<false, false>, {}, 0, true},
      {"rejectattr", Select<false, true>, {}, 0, true},
      {"reverse", Reverse},
      {"select", Select<true, false>, {}, 0, true},
      {"selectattr", Select<true, true>, {}, 0, true},
      {"sort", Sort, {"reverse", "case_sensitive", "attribute"}},
      {"sum", Sum, {"attribute", "start"}},
      {"unique", Unique, {"case_sensitive", "attribute"}},
  };
  return filters;
}

}  // namespace quire::jinja
