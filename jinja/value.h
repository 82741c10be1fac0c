// The values of a template: Python's, as far as templates see them. Immutable but for namespaces,
// loops and generators; a value never outlives the Context (jinja/context.h) that made it.
#ifndef QUIRE_JINJA_VALUE_H_
#define QUIRE_JINJA_VALUE_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace quire::jinja {

class Context;
class Object;
struct Arguments;
struct Dict;
struct Sequence;

struct None {};
// What a missing name or member gives. `why` is the error of using it.
struct Undefined {
  std::shared_ptr<const std::string> why;
};
// `markup` says that it is escaped already: "e" and "+" take such a text as it is.
struct Text {
  std::string text;  // UTF-8
  bool markup = false;
};

class Value {
 public:
  Value() : value_(None()) {}
  Value(bool value) : value_(value) {}          // NOLINT(google-explicit-constructor)
  Value(int64_t value) : value_(value) {}       // NOLINT(google-explicit-constructor)
  Value(double value) : value_(value) {}        // NOLINT(google-explicit-constructor)
  Value(std::string text, bool markup = false)  // NOLINT(google-explicit-constructor)
      : value_(std::make_shared<const Text>(Text{std::move(text), markup})) {}
  Value(const char* text) : Value(std::string(text)) {}  // NOLINT(google-explicit-constructor)
  Value(absl::string_view text)
      : Value(std::string(text)) {}  // NOLINT(google-explicit-constructor)
  // NOLINTNEXTLINE(google-explicit-constructor)
  Value(std::shared_ptr<const Sequence> sequence) : value_(std::move(sequence)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  Value(std::shared_ptr<const Dict> dict) : value_(std::move(dict)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  Value(std::shared_ptr<Object> object) : value_(std::move(object)) {}
  static Value MakeUndefined(std::string why) {
    Value value;
    value.value_ = Undefined{std::make_shared<const std::string>(std::move(why))};
    return value;
  }

  bool is_undefined() const { return std::holds_alternative<Undefined>(value_); }
  bool is_none() const { return std::holds_alternative<None>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_text() const { return text_or_null() != nullptr; }
  bool is_float() const { return std::holds_alternative<double>(value_); }
  // An int or a bool, which is one in Python.
  std::optional<int64_t> integer() const;
  // An int, a bool or a float.
  std::optional<double> number() const;

  const bool* bool_or_null() const { return std::get_if<bool>(&value_); }
  const int64_t* int_or_null() const { return std::get_if<int64_t>(&value_); }
  const Undefined* undefined_or_null() const { return std::get_if<Undefined>(&value_); }
  const Text* text_or_null() const { return Pointer<const Text>(); }
  const Sequence* sequence_or_null() const { return Pointer<const Sequence>(); }
  const Dict* dict_or_null() const { return Pointer<const Dict>(); }
  Object* object_or_null() const { return Pointer<Object>(); }

 private:
  template <typename T>
  T* Pointer() const {
    const auto* pointer = std::get_if<std::shared_ptr<T>>(&value_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  std::variant<None, Undefined, bool, int64_t, double, std::shared_ptr<const Text>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
               std::shared_ptr<Object>>
      value_;
};

// How deep containers nest and how much work it is to walk through one, shared parts counted as
// often as they are met. Context bounds both.
struct Extent {
  int depth = 0;
  int64_t weight = 1;
};
Extent ExtentOf(const Value& value);
Extent ExtentOf(const std::vector<Value>& items);

enum class SequenceKind { kList, kTuple, kRange, kGenerator, kKeys, kValues, kItems };

struct Sequence {
  SequenceKind kind = SequenceKind::kList;
  std::vector<Value> items;
  Extent extent;
  mutable size_t taken = 0;  // of a generator's items: each is given once
  std::string repr;          // of a range, where it is known
};

// Of values as keys: 1, 1.0 and true are one key, as in Python.
struct KeyHash {
  size_t operator()(const Value& key) const;
};
struct KeyEqual {
  bool operator()(const Value& a, const Value& b) const;
};

// In the order of first insertion.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  Extent extent;
  absl::flat_hash_map<Value, size_t, KeyHash, KeyEqual> index;  // into items

  const Value* Find(const Value& key) const;  // null where there is none
  const Value* Find(absl::string_view key) const { return Find(Value(key)); }
  // An old value of the key goes.
  void Set(Value key, Value value);
};

// Values to render with, at no cost to a Context.
Value ListOf(std::vector<Value> items, SequenceKind kind = SequenceKind::kList,
             std::string repr = "");
// The keys are hashable; a later value of a key replaces an earlier one.
Value DictOf(std::vector<std::pair<Value, Value>> items);

// What has behaviour: functions, methods, macros, loops, namespaces.
class Object {
 public:
  virtual ~Object() = default;
  virtual absl::string_view type_name() const = 0;
  virtual int depth() const { return 0; }
  // nullopt: it has no such attribute.
  virtual absl::StatusOr<std::optional<Value>> Attribute(Context& context, absl::string_view name);
  virtual bool callable() const { return false; }
  virtual absl::StatusOr<Value> Call(Context& context, const Arguments& arguments);
};

class Namespace : public Object {
 public:
  absl::string_view type_name() const override { return "Namespace"; }
  absl::StatusOr<std::optional<Value>> Attribute(Context& context, absl::string_view name) override;
  absl::Status Set(absl::string_view name, Value value);
  void Clear() { attributes_.clear(); }

 private:
  std::vector<std::pair<std::string, Value>> attributes_;
};

// A call's.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

bool IsTrue(const Value& value);
// As Python names it: "str", "NoneType", "list", ...
absl::string_view TypeName(const Value& value);

// Python's ==. The caller pays for the walk (Context::Walk).
bool Equals(const Value& a, const Value& b);
// Python's <. FAILED_PRECONDITION where the types have no order.
absl::StatusOr<bool> Less(const Value& a, const Value& b);
// Whether it can be a dict's key.
bool IsHashable(const Value& value);

}  // namespace quire::jinja

#endif  // QUIRE_JINJA_VALUE_H_
