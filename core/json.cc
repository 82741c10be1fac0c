#include "core/json.h"

#include <cmath>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/file.h"
#include "core/status_macros.h"

namespace quire {
namespace {

namespace dom = simdjson::dom;

// Deeper than any file we read, and shallow enough to read by recursion.
constexpr size_t kMaxDepth = 64;

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
  if (text.size() <= kLongest) return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text), "\"");
  size_t cut = kLongest;  // not within a character
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0U) == 0x80U) --cut;
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text.substr(0, cut)), "...\" (", text.size(),
                      " bytes)");
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

absl::StatusOr<std::string> JsonNode::Type() const {
  const absl::StatusOr<JsonNode> type = Member("type");
  return type.ok() ? type->String() : type.status();
}

JsonNode JsonNode::Element(absl::string_view key, dom::element value) const {
  return JsonNode(
      file_, absl::StrCat(path_, path_.empty() ? "" : ".", absl::Utf8SafeCHexEscape(key)), value);
}

JsonNode JsonNode::Element(size_t index, dom::element value) const {
  return JsonNode(file_, absl::StrCat(path_, "[", index, "]"), value);
}

bool JsonNode::Has(absl::string_view key) const {
  dom::object object;
  dom::element value;
  return value_.get(object) == simdjson::SUCCESS &&
         object.at_key({key.data(), key.size()}).get(value) == simdjson::SUCCESS;
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

absl::StatusOr<std::vector<std::pair<std::string, JsonNode>>> JsonNode::Members() const {
  dom::object object;
  if (value_.get(object) != simdjson::SUCCESS) return Unexpected("an object");
  std::vector<std::pair<std::string, JsonNode>> members;
  for (const dom::key_value_pair member : object) {
    members.emplace_back(std::string(member.key), Element(View(member.key), member.value));
  }
  return members;
}

absl::StatusOr<std::vector<JsonNode>> JsonNode::Elements() const {
  dom::array array;
  if (value_.get(array) != simdjson::SUCCESS) return Unexpected("an array");
  std::vector<JsonNode> elements;
  for (const dom::element element : array) elements.push_back(Element(elements.size(), element));
  return elements;
}

absl::StatusOr<std::string> JsonNode::String() const {
  std::string_view text;
  if (value_.get(text) != simdjson::SUCCESS) return Unexpected("a string");
  return std::string(text);
}

absl::StatusOr<bool> JsonNode::Bool() const {
  bool value = false;
  if (value_.get(value) != simdjson::SUCCESS) return Unexpected("true or false");
  return value;
}

absl::StatusOr<int64_t> JsonNode::Integer(int64_t min, int64_t max) const {
  int64_t number = 0;
  if (value_.get(number) != simdjson::SUCCESS || number < min || number > max) {
    return Unexpected(absl::StrCat("an integer from ", min, " to ", max));
  }
  return number;
}

absl::StatusOr<double> JsonNode::Number() const {
  double number = 0;
  if (value_.get(number) != simdjson::SUCCESS || !std::isfinite(number)) {
    return Unexpected("a number");
  }
  return number;
}

absl::StatusOr<std::string> JsonNode::StringOr(absl::string_view key,
                                               absl::string_view fallback) const {
  const std::optional<JsonNode> member = Find(key);
  return member.has_value() ? member->String() : std::string(fallback);
}

absl::StatusOr<bool> JsonNode::BoolOr(absl::string_view key, bool fallback) const {
  const std::optional<JsonNode> member = Find(key);
  return member.has_value() ? member->Bool() : fallback;
}

absl::StatusOr<int64_t> JsonNode::IntegerOr(absl::string_view key, int64_t min, int64_t max,
                                            int64_t fallback) const {
  const std::optional<JsonNode> member = Find(key);
  return member.has_value() ? member->Integer(min, max) : fallback;
}

absl::StatusOr<double> JsonNode::NumberOr(absl::string_view key, double fallback) const {
  const std::optional<JsonNode> member = Find(key);
  return member.has_value() ? member->Number() : fallback;
}

absl::StatusOr<std::unique_ptr<JsonDocument>> JsonDocument::FromFile(const std::string& path) {
  QUIRE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  return FromText(text, path);
}

absl::StatusOr<std::unique_ptr<JsonDocument>> JsonDocument::FromText(absl::string_view text,
                                                                     absl::string_view name) {
  std::unique_ptr<JsonDocument> document(new JsonDocument);
  document->name_ = std::string(name);
  simdjson::error_code error = document->parser_.allocate(text.size(), kMaxDepth);
  if (error == simdjson::SUCCESS) {
    error = document->parser_.parse(text.data(), text.size()).get(document->root_);
  }
  if (error != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": not valid JSON: ", simdjson::error_message(error)));
  }
  return document;
}

}  // namespace quire
