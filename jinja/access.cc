// Attributes, items, slices and lengths: see jinja/operations.h.
#include <algorithm>
#include <optional>
#include <utility>

#include "core/status_macros.h"
#include "jinja/builtin.h"
#include "jinja/format.h"
#include "jinja/operations.h"
#include "jinja/text.h"

namespace quire::jinja {
namespace {

// A position from the end where it is negative, within [low, high].
int64_t ClampIndex(int64_t index, int64_t size, int64_t low, int64_t high) {
  if (index < 0) index += size;
  return std::clamp(index, low, high);
}

// The positions that [start:stop:step], each an integer or none, takes of `size`.
absl::StatusOr<std::vector<int64_t>> SlicePositions(Context& context, int64_t size,
                                                    const Value& start, const Value& stop,
                                                    const Value& step) {
  int64_t stride = step.integer().value_or(1);
  if (stride == 0) return TemplateError("slice step cannot be zero");
  const int64_t low = stride > 0 ? 0 : -1;
  const int64_t high = stride > 0 ? size : size - 1;
  int64_t begin = stride > 0 ? low : high;
  int64_t end = stride > 0 ? high : low;
  if (start.integer()) begin = ClampIndex(*start.integer(), size, low, high);
  if (stop.integer()) end = ClampIndex(*stop.integer(), size, low, high);
  // Larger strides take no more than the first.
  stride = std::clamp(stride, -size - 1, size + 1);
  std::vector<int64_t> positions;
  for (int64_t at = begin; stride > 0 ? at < end : at > end; at += stride) positions.push_back(at);
  QUIRE_RETURN_IF_ERROR(context.Spend(static_cast<int64_t>(positions.size())));
  return positions;
}

absl::StatusOr<Value> SliceText(Context& context, const Text& text, const Value& start,
                                const Value& stop, const Value& step) {
  QUIRE_RETURN_IF_ERROR(context.SpendBytes(static_cast<int64_t>(text.text.size())));
  const std::vector<absl::string_view> characters = Characters(text.text);
  QUIRE_ASSIGN_OR_RETURN(
      const std::vector<int64_t> positions,
      SlicePositions(context, static_cast<int64_t>(characters.size()), start, stop, step));
  std::string out;
  for (int64_t at : positions) {
    out.append(characters[static_cast<size_t>(at)].data(),
               characters[static_cast<size_t>(at)].size());
  }
  return Value(std::move(out), text.markup);
}

// Item `index` of a text or sequence; nullopt where there is none.
std::optional<Value> ItemAt(const Value& object, int64_t index) {
  if (const Text* text = object.text_or_null()) {
    const int64_t size = CountCharacters(text->text);
    if (index < 0) index += size;
    if (index < 0 || index >= size) return std::nullopt;
    const size_t begin = ByteOf(text->text, index);
    return Value(text->text.substr(begin, ByteOf(absl::string_view(text->text).substr(begin), 1)),
                 text->markup);
  }
  const Sequence* sequence = object.sequence_or_null();
  if (sequence == nullptr || sequence->kind > SequenceKind::kRange) return std::nullopt;
  const auto size = static_cast<int64_t>(sequence->items.size());
  if (index < 0) index += size;
  if (index < 0 || index >= size) return std::nullopt;
  return sequence->items[static_cast<size_t>(index)];
}

// What the object's type has under the name; nullopt: nothing.
absl::StatusOr<std::optional<Value>> TypeAttribute(Context& context, const Value& object,
                                                   absl::string_view name) {
  if (Object* with_attributes = object.object_or_null()) {
    return with_attributes->Attribute(context, name);
  }
  const Builtin* method = FindMethod(object, name);
  if (method == nullptr) return std::optional<Value>();
  QUIRE_RETURN_IF_ERROR(context.Spend(1));
  return std::optional<Value>(MakeMethod(*method, object));
}

Value NoAttribute(const Value& object, absl::string_view name) {
  return Value::MakeUndefined(
      absl::StrCat("'", TypeName(object), " object' has no attribute '", name, "'"));
}

}  // namespace

absl::StatusOr<Value> GetAttribute(Context& context, const Value& object, absl::string_view name) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(object));
  QUIRE_ASSIGN_OR_RETURN(const std::optional<Value> attribute,
                         TypeAttribute(context, object, name));
  if (attribute) return *attribute;
  if (const Dict* dict = object.dict_or_null()) {
    if (const Value* item = dict->Find(name)) return *item;
  }
  return NoAttribute(object, name);
}

absl::StatusOr<Value> GetItem(Context& context, const Value& object, const Value& key) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(object));
  QUIRE_RETURN_IF_ERROR(context.Walk(key));
  if (const Dict* dict = object.dict_or_null()) {
    const Value* item = IsHashable(key) ? dict->Find(key) : nullptr;
    if (item != nullptr) return *item;
  } else if (const std::optional<int64_t> index = key.integer()) {
    if (object.is_text()) QUIRE_RETURN_IF_ERROR(context.Walk(object));
    if (std::optional<Value> item = ItemAt(object, *index)) return *std::move(item);
  }
  if (const Text* name = key.text_or_null()) {
    QUIRE_ASSIGN_OR_RETURN(const std::optional<Value> attribute,
                           TypeAttribute(context, object, name->text));
    return attribute ? *attribute : NoAttribute(object, name->text);
  }
  std::string shown;
  QUIRE_RETURN_IF_ERROR(AppendRepr(context, key, shown));
  return Value::MakeUndefined(
      absl::StrCat("'", TypeName(object), " object' has no element ", shown));
}

absl::StatusOr<Value> Slice(Context& context, const Value& object, const Value& start,
                            const Value& stop, const Value& step) {
  QUIRE_RETURN_IF_ERROR(CheckDefined(object));
  for (const Value* bound : {&start, &stop, &step}) {
    if (bound->is_none() || bound->integer()) continue;
    return Value::MakeUndefined("slice indices must be integers or None");
  }
  if (const Text* text = object.text_or_null()) {
    return SliceText(context, *text, start, stop, step);
  }
  const Sequence* sequence = object.sequence_or_null();
  if (sequence == nullptr || sequence->kind > SequenceKind::kRange) {
    return Value::MakeUndefined(absl::StrCat("'", TypeName(object), " object' cannot be sliced"));
  }
  QUIRE_ASSIGN_OR_RETURN(
      const std::vector<int64_t> positions,
      SlicePositions(context, static_cast<int64_t>(sequence->items.size()), start, stop, step));
  std::vector<Value> items;
  for (int64_t at : positions) items.push_back(sequence->items[static_cast<size_t>(at)]);
  return context.MakeSequence(sequence->kind, std::move(items));
}

absl::StatusOr<std::vector<Value>> Iterate(Context& context, const Value& value) {
  std::vector<Value> items;
  if (const Sequence* sequence = value.sequence_or_null()) {
    QUIRE_RETURN_IF_ERROR(context.Spend(static_cast<int64_t>(sequence->items.size())));
    if (sequence->kind != SequenceKind::kGenerator) return sequence->items;
    items.assign(sequence->items.begin() + static_cast<std::ptrdiff_t>(sequence->taken),
                 sequence->items.end());
    sequence->taken = sequence->items.size();
  } else if (const Dict* dict = value.dict_or_null()) {
    QUIRE_RETURN_IF_ERROR(context.Spend(static_cast<int64_t>(dict->items.size())));
    for (const auto& [key, ignored] : dict->items) items.push_back(key);
  } else if (const Text* text = value.text_or_null()) {
    QUIRE_RETURN_IF_ERROR(context.SpendItems(static_cast<int64_t>(text->text.size())));
    for (absl::string_view character : Characters(text->text)) {
      items.push_back(Value(std::string(character), text->markup));
    }
  } else if (!value.is_undefined()) {
    return TemplateError("'", TypeName(value), "' object is not iterable");
  }
  return items;
}

absl::StatusOr<int64_t> Length(Context& context, const Value& value) {
  if (const Text* text = value.text_or_null()) {
    QUIRE_RETURN_IF_ERROR(context.Walk(value));
    return CountCharacters(text->text);
  }
  const Sequence* sequence = value.sequence_or_null();
  if (sequence != nullptr && sequence->kind != SequenceKind::kGenerator) {
    return static_cast<int64_t>(sequence->items.size());
  }
  if (const Dict* dict = value.dict_or_null()) return static_cast<int64_t>(dict->items.size());
  if (value.is_undefined()) return 0;
  return TemplateError("object of type '", TypeName(value), "' has no len()");
}

}  // namespace quire::jinja
