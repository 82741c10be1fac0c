#include "jinja/context.h"

#include <algorithm>

#include "core/status_macros.h"

namespace quire::jinja {
namespace {

// Of containers within containers: what walks through them is recursive.
constexpr int kMaxValueDepth = 200;
// What a value holds beside its text.
constexpr int64_t kValueBytes = 64;

}  // namespace

Context::~Context() {
  for (const std::shared_ptr<Namespace>& made : namespaces_) made->Clear();
}

absl::Status Context::Spend(int64_t steps) {
  steps_ += steps;
  if (steps_ <= limits_.max_steps) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat("rendering takes more than ", limits_.max_steps, " steps"));
}

absl::Status Context::SpendBytes(int64_t bytes) {
  if (bytes > limits_.max_output_bytes) {
    return absl::OutOfRangeError(absl::StrCat("a text would have ", bytes, " bytes; the limit is ",
                                              limits_.max_output_bytes));
  }
  return SpendMemory(bytes);
}

absl::Status Context::SpendItems(int64_t items) {
  return SpendMemory(kValueBytes * (1 + std::min(items, limits_.max_live_bytes)));
}

absl::Status Context::SpendMemory(int64_t bytes) {
  bytes_ += bytes;
  if (bytes_ > limits_.max_live_bytes) {
    return absl::OutOfRangeError(
        absl::StrCat("rendering makes more than ", limits_.max_live_bytes, " bytes of values"));
  }
  return Spend(1 + bytes / 32);
}

absl::Status Context::CheckExtent(const Extent& extent) {
  if (extent.depth > kMaxValueDepth) {
    return absl::OutOfRangeError(
        absl::StrCat("containers nest deeper than ", kMaxValueDepth, " levels"));
  }
  if (extent.weight > limits_.max_steps) {
    return absl::OutOfRangeError(
        absl::StrCat("a value has more than ", limits_.max_steps, " parts"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Value> Context::MakeText(std::string text, bool markup) {
  QUIRE_RETURN_IF_ERROR(SpendBytes(static_cast<int64_t>(text.size())));
  return Value(std::move(text), markup);
}

absl::StatusOr<Value> Context::MakeSequence(SequenceKind kind, std::vector<Value> items,
                                            std::string repr) {
  QUIRE_RETURN_IF_ERROR(SpendItems(static_cast<int64_t>(items.size())));
  Value made = ListOf(std::move(items), kind, std::move(repr));
  QUIRE_RETURN_IF_ERROR(CheckExtent(ExtentOf(made)));
  return made;
}

absl::StatusOr<Value> Context::MakeDict(std::vector<std::pair<Value, Value>> items) {
  QUIRE_RETURN_IF_ERROR(SpendItems(4 * static_cast<int64_t>(items.size())));
  for (const auto& [key, value] : items) {
    if (!IsHashable(key)) return TemplateError("unhashable type: '", TypeName(key), "'");
    QUIRE_RETURN_IF_ERROR(Walk(key));
  }
  Value made = DictOf(std::move(items));
  QUIRE_RETURN_IF_ERROR(CheckExtent(ExtentOf(made)));
  return made;
}

absl::StatusOr<Value> Context::MakeNamespace(
    std::vector<std::pair<std::string, Value>> attributes) {
  QUIRE_RETURN_IF_ERROR(SpendItems(static_cast<int64_t>(attributes.size())));
  const auto made = std::make_shared<Namespace>();
  namespaces_.push_back(made);
  for (auto& [name, value] : attributes) {
    QUIRE_RETURN_IF_ERROR(made->Set(name, std::move(value)));
  }
  return Value(std::shared_ptr<Object>(made));
}

absl::StatusOr<Value> Context::MakeObject(std::shared_ptr<Object> object) {
  QUIRE_RETURN_IF_ERROR(SpendItems(1));
  QUIRE_RETURN_IF_ERROR(CheckExtent({.depth = object->depth()}));
  return Value(std::move(object));
}

}  // namespace quire::jinja
