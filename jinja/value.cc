#include "jinja/value.h"

#include <algorithm>
#include <cmath>

#include "absl/hash/hash.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "jinja/context.h"

namespace quire::jinja {
namespace {

bool SameItems(const std::vector<Value>& a, const std::vector<Value>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), Equals);
}

bool SameDicts(const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  return std::all_of(a.items.begin(), a.items.end(), [&](const auto& item) {
    const Value* other = b.Find(item.first);
    return other != nullptr && Equals(item.second, *other);
  });
}

bool IsPlainSequence(SequenceKind kind) {
  return kind == SequenceKind::kList || kind == SequenceKind::kTuple ||
         kind == SequenceKind::kRange;
}

absl::Status NoOrder(const Value& a, const Value& b) {
  return TemplateError("'<' not supported between instances of '", TypeName(a), "' and '",
                       TypeName(b), "'");
}

}  // namespace

std::optional<int64_t> Value::integer() const {
  if (const int64_t* value = int_or_null()) return *value;
  if (const bool* value = bool_or_null()) return *value ? 1 : 0;
  return std::nullopt;
}

std::optional<double> Value::number() const {
  if (const double* value = std::get_if<double>(&value_)) return *value;
  if (const std::optional<int64_t> value = integer()) return static_cast<double>(*value);
  return std::nullopt;
}

Extent ExtentOf(const Value& value) {
  if (const Text* text = value.text_or_null()) {
    return {.depth = 0, .weight = 1 + static_cast<int64_t>(text->text.size() / 32)};
  }
  if (const Sequence* sequence = value.sequence_or_null()) return sequence->extent;
  if (const Dict* dict = value.dict_or_null()) return dict->extent;
  if (const Object* object = value.object_or_null()) return {.depth = object->depth()};
  return {};
}

Extent ExtentOf(const std::vector<Value>& items) {
  Extent all{.depth = 1};
  for (const Value& item : items) {
    const Extent one = ExtentOf(item);
    all.depth = std::max(all.depth, one.depth + 1);
    all.weight += one.weight;
  }
  return all;
}

size_t KeyHash::operator()(const Value& key) const {
  if (const Text* text = key.text_or_null()) return absl::HashOf(text->text);
  if (const std::optional<double> number = key.number()) return absl::HashOf(*number);
  if (const Sequence* tuple = key.sequence_or_null()) {
    size_t hash = tuple->items.size();
    for (const Value& item : tuple->items) hash = absl::HashOf(hash, (*this)(item));
    return hash;
  }
  return absl::HashOf(static_cast<const void*>(key.object_or_null()));
}

bool KeyEqual::operator()(const Value& a, const Value& b) const { return Equals(a, b); }

const Value* Dict::Find(const Value& key) const {
  const auto found = index.find(key);
  return found == index.end() ? nullptr : &items[found->second].second;
}

void Dict::Set(Value key, Value value) {
  const auto [found, is_new] = index.try_emplace(key, items.size());
  if (is_new) {
    items.emplace_back(std::move(key), std::move(value));
  } else {
    items[found->second].second = std::move(value);
  }
}

Value ListOf(std::vector<Value> items, SequenceKind kind, std::string repr) {
  Sequence sequence{.kind = kind, .items = std::move(items), .repr = std::move(repr)};
  sequence.extent = ExtentOf(sequence.items);
  return Value(std::make_shared<const Sequence>(std::move(sequence)));
}

Value DictOf(std::vector<std::pair<Value, Value>> items) {
  Dict dict;
  dict.extent.depth = 1;
  for (auto& [key, value] : items) {
    for (const Extent& part : {ExtentOf(key), ExtentOf(value)}) {
      dict.extent.depth = std::max(dict.extent.depth, part.depth + 1);
      dict.extent.weight += part.weight;
    }
    dict.Set(std::move(key), std::move(value));
  }
  return Value(std::make_shared<const Dict>(std::move(dict)));
}

absl::StatusOr<std::optional<Value>> Object::Attribute(Context& /*context*/,
                                                       absl::string_view /*name*/) {
  return std::optional<Value>();
}

absl::StatusOr<Value> Object::Call(Context& /*context*/, const Arguments& /*arguments*/) {
  return TemplateError("'", type_name(), "' object is not callable");
}

absl::StatusOr<std::optional<Value>> Namespace::Attribute(Context& /*context*/,
                                                          absl::string_view name) {
  for (const auto& [key, value] : attributes_) {
    if (key == name) return value;
  }
  return std::optional<Value>();
}

absl::Status Namespace::Set(absl::string_view name, Value value) {
  if (absl::StartsWith(name, "_")) {
    return TemplateError("a namespace takes no attribute that begins with an underscore: '", name,
                         "'");
  }
  for (auto& [key, old] : attributes_) {
    if (key != name) continue;
    old = std::move(value);
    return absl::OkStatus();
  }
  attributes_.emplace_back(name, std::move(value));
  return absl::OkStatus();
}

bool IsTrue(const Value& value) {
  if (const Text* text = value.text_or_null()) return !text->text.empty();
  if (const std::optional<double> number = value.number()) return *number != 0;
  if (const Sequence* sequence = value.sequence_or_null()) {
    return sequence->kind == SequenceKind::kGenerator || !sequence->items.empty();
  }
  if (const Dict* dict = value.dict_or_null()) return !dict->items.empty();
  return value.object_or_null() != nullptr;
}

absl::string_view TypeName(const Value& value) {
  if (value.is_none()) return "NoneType";
  if (value.is_undefined()) return "Undefined";
  if (value.is_bool()) return "bool";
  if (value.int_or_null() != nullptr) return "int";
  if (value.is_float()) return "float";
  if (const Text* text = value.text_or_null()) return text->markup ? "Markup" : "str";
  if (value.dict_or_null() != nullptr) return "dict";
  if (const Object* object = value.object_or_null()) return object->type_name();
  switch (value.sequence_or_null()->kind) {
    case SequenceKind::kList:
      return "list";
    case SequenceKind::kTuple:
      return "tuple";
    case SequenceKind::kRange:
      return "range";
    case SequenceKind::kGenerator:
      return "generator";
    case SequenceKind::kKeys:
      return "dict_keys";
    case SequenceKind::kValues:
      return "dict_values";
    case SequenceKind::kItems:
      break;
  }
  return "dict_items";
}

bool Equals(const Value& a, const Value& b) {
  if (const Text* text = a.text_or_null()) {
    const Text* other = b.text_or_null();
    return other != nullptr && text->text == other->text;
  }
  if (a.int_or_null() != nullptr && b.int_or_null() != nullptr) {
    return *a.int_or_null() == *b.int_or_null();
  }
  if (const std::optional<double> number = a.number()) {
    const std::optional<double> other = b.number();
    return other && *number == *other;
  }
  if (const Sequence* sequence = a.sequence_or_null()) {
    const Sequence* other = b.sequence_or_null();
    if (sequence == other) return true;
    return other != nullptr && sequence->kind == other->kind && IsPlainSequence(other->kind) &&
           SameItems(sequence->items, other->items);
  }
  if (const Dict* dict = a.dict_or_null()) {
    const Dict* other = b.dict_or_null();
    return other != nullptr && (dict == other || SameDicts(*dict, *other));
  }
  if (const Object* object = a.object_or_null()) return object == b.object_or_null();
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
}

absl::StatusOr<bool> Less(const Value& a, const Value& b) {
  // The order of UTF-8's bytes is that of the code points.
  if (a.is_text() && b.is_text()) return a.text_or_null()->text < b.text_or_null()->text;
  if (a.integer() && b.integer()) return *a.integer() < *b.integer();
  if (a.number() && b.number()) return *a.number() < *b.number();
  const Sequence* left = a.sequence_or_null();
  const Sequence* right = b.sequence_or_null();
  if (left == nullptr || right == nullptr || left->kind != right->kind ||
      (left->kind != SequenceKind::kList && left->kind != SequenceKind::kTuple)) {
    if (const Undefined* undefined = a.undefined_or_null()) return TemplateError(*undefined->why);
    if (const Undefined* undefined = b.undefined_or_null()) return TemplateError(*undefined->why);
    return NoOrder(a, b);
  }
  const size_t common = std::min(left->items.size(), right->items.size());
  for (size_t i = 0; i < common; ++i) {
    if (!Equals(left->items[i], right->items[i])) return Less(left->items[i], right->items[i]);
  }
  return left->items.size() < right->items.size();
}

bool IsHashable(const Value& value) {
  if (value.dict_or_null() != nullptr) return false;
  const Sequence* sequence = value.sequence_or_null();
  if (sequence == nullptr) return true;
  if (sequence->kind == SequenceKind::kTuple) {
    return std::all_of(sequence->items.begin(), sequence->items.end(), IsHashable);
  }
  return false;
}

}  // namespace quire::jinja
