#include "jinja/loop.h"

#include <memory>

#include "core/status_macros.h"
#include "jinja/context.h"
#include "jinja/operations.h"

namespace quire::jinja {
namespace {

// loop.cycle: the arguments in turn.
class Cycle : public Object {
 public:
  explicit Cycle(int64_t index) : index_(index) {}
  absl::string_view type_name() const override { return "method"; }
  bool callable() const override { return true; }
  absl::StatusOr<Value> Call(Context& /*context*/, const Arguments& arguments) override {
    const std::vector<Value>& values = arguments.positional;
    if (values.empty()) return TemplateError("no items for cycling given");
    return values[static_cast<size_t>(index_) % values.size()];
  }

 private:
  const int64_t index_;
};

}  // namespace

absl::StatusOr<std::optional<Value>> Loop::Find() {
  if (rest_) {
    if (rest_taken_ == rest_->size()) return std::optional<Value>();
    return std::optional<Value>((*rest_)[rest_taken_++]);
  }
  while (taken_ < items_.size()) {
    const Value& item = items_[taken_++];
    if (test_ == nullptr) return std::optional<Value>(item);
    QUIRE_ASSIGN_OR_RETURN(const bool passes, test_(item));
    if (passes) return std::optional<Value>(item);
  }
  return std::optional<Value>();
}

absl::Status Loop::Peek() {
  if (has_peeked_) return absl::OkStatus();
  QUIRE_ASSIGN_OR_RETURN(next_, Find());
  has_peeked_ = true;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Value>> Loop::Next() {
  QUIRE_RETURN_IF_ERROR(Peek());
  has_peeked_ = false;
  if (!next_) return std::optional<Value>();
  previous_ = std::move(current_);
  current_ = std::exchange(next_, std::nullopt);
  ++index_;
  return current_;
}

// All that are left are tested now.
absl::StatusOr<int64_t> Loop::Length() {
  if (!rest_) {
    std::vector<Value> rest;
    while (true) {
      QUIRE_ASSIGN_OR_RETURN(std::optional<Value> item, Find());
      if (!item) break;
      rest.push_back(*std::move(item));
    }
    rest_ = std::move(rest);
  }
  return index_ + 1 + (has_peeked_ && next_ ? 1 : 0) +
         static_cast<int64_t>(rest_->size() - rest_taken_);
}

absl::StatusOr<std::optional<Value>> Loop::Neighbour(absl::string_view name) {
  if (name == "previtem") {
    return previous_ ? *previous_ : Value::MakeUndefined("there is no previous item");
  }
  QUIRE_RETURN_IF_ERROR(Peek());
  if (name == "last") return Value(!next_.has_value());
  return next_ ? *next_ : Value::MakeUndefined("there is no next item");
}

absl::StatusOr<std::optional<Value>> Loop::Attribute(Context& context, absl::string_view name) {
  QUIRE_RETURN_IF_ERROR(context.Spend(1));
  if (name == "index0") return Value(index_);
  if (name == "index") return Value(index_ + 1);
  if (name == "first") return Value(index_ == 0);
  // Of recursion, which there is none of.
  if (name == "depth") return Value(int64_t{1});
  if (name == "depth0") return Value(int64_t{0});
  if (name == "last" || name == "previtem" || name == "nextitem") return Neighbour(name);
  if (name == "length" || name == "revindex" || name == "revindex0") {
    QUIRE_RETURN_IF_ERROR(context.Spend(static_cast<int64_t>(rest_ ? 1 : items_.size())));
    QUIRE_ASSIGN_OR_RETURN(const int64_t length, Length());
    return Value(name == "length" ? length : length - index_ - (name == "revindex" ? 0 : 1));
  }
  if (name == "cycle") return Value(std::shared_ptr<Object>(std::make_shared<Cycle>(index_)));
  return std::optional<Value>();
}

}  // namespace quire::jinja
