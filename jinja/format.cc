#include "jinja/format.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/status_macros.h"
#include "jinja/text.h"

namespace quire::jinja {
namespace {

absl::Status AppendJoined(Context& context, const std::vector<Value>& items, std::string& out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    QUIRE_RETURN_IF_ERROR(AppendRepr(context, items[i], out));
  }
  return absl::OkStatus();
}

absl::Status AppendSequence(Context& context, const Sequence& sequence, std::string& out) {
  switch (sequence.kind) {
    case SequenceKind::kList:
      out += "[";
      QUIRE_RETURN_IF_ERROR(AppendJoined(context, sequence.items, out));
      out += "]";
      return absl::OkStatus();
    case SequenceKind::kTuple:
      out += "(";
      QUIRE_RETURN_IF_ERROR(AppendJoined(context, sequence.items, out));
      out += sequence.items.size() == 1 ? ",)" : ")";
      return absl::OkStatus();
    case SequenceKind::kGenerator:
      out += "<generator>";
      return absl::OkStatus();
    case SequenceKind::kRange: {
      if (!sequence.repr.empty()) {
        out += sequence.repr;
        return absl::OkStatus();
      }
      const int64_t first = sequence.items.empty() ? 0 : *sequence.items.front().integer();
      const int64_t step = sequence.items.size() < 2 ? 1 : *sequence.items[1].integer() - first;
      absl::StrAppend(&out, "range(", first, ", ",
                      first + step * static_cast<int64_t>(sequence.items.size()));
      out += step == 1 ? ")" : absl::StrCat(", ", step, ")");
      return absl::OkStatus();
    }
    default:
      absl::StrAppend(&out, sequence.kind == SequenceKind::kKeys     ? "dict_keys(["
                            : sequence.kind == SequenceKind::kValues ? "dict_values(["
                                                                     : "dict_items([");
      QUIRE_RETURN_IF_ERROR(AppendJoined(context, sequence.items, out));
      out += "])";
      return absl::OkStatus();
  }
}

absl::Status AppendDict(Context& context, const Dict& dict, std::string& out) {
  out += "{";
  bool is_first = true;
  for (const auto& [key, value] : dict.items) {
    if (!std::exchange(is_first, false)) out += ", ";
    QUIRE_RETURN_IF_ERROR(AppendRepr(context, key, out));
    out += ": ";
    QUIRE_RETURN_IF_ERROR(AppendRepr(context, value, out));
  }
  out += "}";
  return absl::OkStatus();
}

absl::Status CheckSize(Context& context, const std::string& out) {
  QUIRE_RETURN_IF_ERROR(context.Spend(1));
  if (static_cast<int64_t>(out.size()) <= context.limits().max_output_bytes) {
    return absl::OkStatus();
  }
  return absl::OutOfRangeError(
      absl::StrCat("a text would have more than ", context.limits().max_output_bytes, " bytes"));
}

class JsonWriter {
 public:
  JsonWriter(Context& context, const JsonStyle& style, std::string& out)
      : context_(context), style_(style), out_(out) {}

  absl::Status Write(const Value& value) {
    QUIRE_RETURN_IF_ERROR(CheckSize(context_, out_));
    QUIRE_RETURN_IF_ERROR(context_.Spend(value.is_text() ? ExtentOf(value).weight : 1));
    if (const Text* text = value.text_or_null()) {
      AppendJson(text->text, style_.ensure_ascii, out_);
      return absl::OkStatus();
    }
    if (value.is_none() || value.is_bool() || value.number()) {
      out_ += Scalar(value);
      return absl::OkStatus();
    }
    if (const Dict* dict = value.dict_or_null()) return WriteDict(*dict);
    const Sequence* sequence = value.sequence_or_null();
    if (sequence != nullptr &&
        (sequence->kind == SequenceKind::kList || sequence->kind == SequenceKind::kTuple)) {
      return WriteList(sequence->items);
    }
    return TemplateError("Object of type ", TypeName(value), " is not JSON serializable");
  }

 private:
  static std::string Scalar(const Value& value) {
    if (value.is_none()) return "null";
    if (const bool* truth = value.bool_or_null()) return *truth ? "true" : "false";
    if (!value.is_float()) return absl::StrCat(*value.integer());
    const double number = *value.number();
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
    return Repr(number);
  }

  void Separate(bool is_first) {
    if (!is_first) out_ += style_.item_separator;
    NewLine();
  }

  void NewLine() {
    if (!style_.indent) return;
    out_ += '\n';
    for (int i = 0; i < level_; ++i) out_ += *style_.indent;
  }

  absl::Status WriteList(const std::vector<Value>& items) {
    out_ += '[';
    ++level_;
    bool is_first = true;
    for (const Value& item : items) {
      Separate(std::exchange(is_first, false));
      QUIRE_RETURN_IF_ERROR(Write(item));
    }
    --level_;
    if (!items.empty()) NewLine();
    out_ += ']';
    return absl::OkStatus();
  }

  absl::Status WriteDict(const Dict& dict) {
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : dict.items) items.push_back(&item);
    if (style_.sort_keys) QUIRE_RETURN_IF_ERROR(SortByKey(items));
    out_ += '{';
    ++level_;
    bool is_first = true;
    for (const auto* item : items) {
      const Value& key = item->first;
      Separate(std::exchange(is_first, false));
      if (const Text* text = key.text_or_null()) {
        AppendJson(text->text, style_.ensure_ascii, out_);
      } else if (key.is_none() || key.number()) {
        absl::StrAppend(&out_, "\"", Scalar(key), "\"");
      } else {
        return TemplateError("keys must be str, int, float, bool or None, not ", TypeName(key));
      }
      out_ += style_.key_separator;
      QUIRE_RETURN_IF_ERROR(Write(item->second));
    }
    --level_;
    if (!items.empty()) NewLine();
    out_ += '}';
    return absl::OkStatus();
  }

  static absl::Status SortByKey(std::vector<const std::pair<Value, Value>*>& items) {
    absl::Status status;
    std::stable_sort(items.begin(), items.end(), [&status](const auto* a, const auto* b) {
      const absl::StatusOr<bool> less = Less(a->first, b->first);
      if (!less.ok()) status = less.status();
      return less.ok() && *less;
    });
    return status;
  }

  Context& context_;
  const JsonStyle& style_;
  std::string& out_;
  int level_ = 0;
};

}  // namespace

absl::Status AppendText(Context& context, const Value& value, std::string& out) {
  if (value.is_undefined()) return absl::OkStatus();
  if (const Text* text = value.text_or_null()) {
    QUIRE_RETURN_IF_ERROR(context.Walk(value));
    out += text->text;
    return CheckSize(context, out);
  }
  return AppendRepr(context, value, out);
}

absl::StatusOr<std::string> ToString(Context& context, const Value& value) {
  std::string out;
  QUIRE_RETURN_IF_ERROR(AppendText(context, value, out));
  return out;
}

absl::Status AppendRepr(Context& context, const Value& value, std::string& out) {
  QUIRE_RETURN_IF_ERROR(CheckSize(context, out));
  if (const Text* text = value.text_or_null()) {
    QUIRE_RETURN_IF_ERROR(context.Walk(value));
    const std::string quoted = Repr(absl::string_view(text->text));
    out += text->markup ? absl::StrCat("Markup(", quoted, ")") : quoted;
  } else if (value.is_none()) {
    out += "None";
  } else if (value.is_undefined()) {
    out += "Undefined";
  } else if (const bool* truth = value.bool_or_null()) {
    out += *truth ? "True" : "False";
  } else if (value.is_float()) {
    out += Repr(*value.number());
  } else if (const std::optional<int64_t> integer = value.integer()) {
    absl::StrAppend(&out, *integer);
  } else if (const Dict* dict = value.dict_or_null()) {
    return AppendDict(context, *dict, out);
  } else if (const Object* object = value.object_or_null()) {
    absl::StrAppend(&out, "<", object->type_name(), ">");
  } else {
    return AppendSequence(context, *value.sequence_or_null(), out);
  }
  return absl::OkStatus();
}

absl::Status AppendJson(Context& context, const Value& value, const JsonStyle& style,
                        std::string& out) {
  return JsonWriter(context, style, out).Write(value);
}

}  // namespace quire::jinja
