#include "tokenizer/json.h"

#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tokenizer/unicode.h"

namespace quire {
namespace {

namespace dom = simdjson::dom;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string Describe(dom::element value) {
  switch (value.type()) {
    case dom::element_type::ARRAY:
      return "an array";
    case dom::element_type::OBJECT:
      return "an object";
    case dom::element_type::STRING:
      return Quoted(View(value.get_string().value_unsafe()));
    default: {
      std::ostringstream out;
      out << value;
      return out.str();
    }
  }
}

}  // namespace

std::string Quoted(absl::string_view text) {
  constexpr size_t kLongest = 60;
  const std::string start = ReplaceInvalidUtf8(text.substr(0, kLongest));
  const std::string rest =
      text.size() > kLongest ? absl::StrCat("... (", text.size(), " bytes)") : std::string();
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(start), "\"", rest);
}

absl::Status JsonNode::Error(absl::string_view message) const {
  return absl::InvalidArgumentError(
      absl::StrCat(file_, ": ", path_.empty() ? "" : path_ + ": ", message));
}

absl::Status JsonNode::Unexpected(absl::string_view expected) const {
  return Error(absl::StrCat("found ", Describe(value_), ", expected ", expected));
}

absl::Status JsonNode::UnexpectedType(absl::string_view expected) const {
  const absl::StatusOr<JsonNode> type = Member("type");
  return type.ok() ? type->Unexpected(expected) : type.status();
}

JsonNode JsonNode::Element(absl::string_view key, dom::element value) const {
  return JsonNode(
      file_, absl::StrCat(path_, path_.empty() ? "" : ".", absl::Utf8SafeCHexEscape(key)), value);
}

JsonNode JsonNode::Element(size_t index, dom::element value) const {
  return JsonNode(file_, absl::StrCat(path_, "[", index, "]"), value);
}

std::optional<JsonNode> JsonNode::Find(absl::string_view key) const {
  dom::object object;
  dom::element value;
  if (value_.get(object) != simdjson::SUCCESS ||
      object.at_key({key.data(), key.size()}).get(value) != simdjson::SUCCESS || value.is_null()) {
    return std::nullopt;
  }
  return Element(key, value);
}

absl::StatusOr<JsonNode> JsonNode::Member(absl::string_view key) const {
  std::optional<JsonNode> member = Find(key);
  if (!member.has_value()) {
    return value_.is_object() ? Error(absl::StrCat("\"", key, "\" is missing"))
                              : Unexpected(absl::StrCat("an object with \"", key, "\""));
  }
  return *std::move(member);
}

absl::StatusOr<std::string> JsonNode::Type() const {
  const absl::StatusOr<JsonNode> type = Member("type");
  return type.ok() ? type->String() : type.status();
}

absl::StatusOr<std::string> JsonNode::String() const {
  std::string_view text;
  if (value_.get(text) != simdjson::SUCCESS) return Unexpected("a string");
  return std::string(text);
}

absl::StatusOr<char32_t> JsonNode::Character() const {
  std::string_view text;
  if (value_.get(text) != simdjson::SUCCESS || text.empty() || Utf8Bytes(text[0]) != text.size()) {
    return Unexpected("a string of one character");
  }
  return CodePointAt(View(text), 0);
}

absl::StatusOr<int64_t> JsonNode::Integer(int64_t min, int64_t max) const {
  int64_t number = 0;
  if (value_.get(number) != simdjson::SUCCESS || number < min || number > max) {
    return Unexpected(absl::StrCat("an integer from ", min, " to ", max));
  }
  return number;
}

absl::StatusOr<std::vector<JsonNode>> JsonNode::Elements() const {
  dom::array array;
  if (value_.get(array) != simdjson::SUCCESS) return Unexpected("an array");
  std::vector<JsonNode> elements;
  for (const dom::element element : array) elements.push_back(Element(elements.size(), element));
  return elements;
}

absl::StatusOr<bool> JsonNode::BoolOr(absl::string_view key, bool fallback) const {
  const std::optional<JsonNode> member = Find(key);
  if (!member.has_value()) return fallback;
  bool value = false;
  if (member->value_.get(value) != simdjson::SUCCESS) return member->Unexpected("true or false");
  return value;
}

}  // namespace quire
