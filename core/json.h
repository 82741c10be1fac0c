// Reading JSON files that a user gave us: each value knows where it stands, so that every fault
// becomes one INVALID_ARGUMENT line with the file, the JSON path, what was found and what was
// expected.
#ifndef QUIRE_CORE_JSON_H_
#define QUIRE_CORE_JSON_H_

#include <simdjson.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace quire {

// A value of a JsonDocument, which it borrows from.
class JsonNode {
 public:
  JsonNode(absl::string_view file, std::string path, simdjson::dom::element value)
      : file_(file), path_(std::move(path)), value_(value) {}

  // Members of an object. Find gives nullopt where it is absent or null, or where this is no
  // object; Has tells absent from null.
  bool Has(absl::string_view key) const;
  absl::StatusOr<JsonNode> Member(absl::string_view key) const;
  std::optional<JsonNode> Find(absl::string_view key) const;
  absl::StatusOr<std::vector<std::pair<std::string, JsonNode>>> Members() const;
  absl::StatusOr<std::vector<JsonNode>> Elements() const;  // of an array

  // The member "type", a string: what tells the kind of an object.
  absl::StatusOr<std::string> Type() const;

  absl::StatusOr<std::string> String() const;
  absl::StatusOr<bool> Bool() const;
  absl::StatusOr<int64_t> Integer(int64_t min, int64_t max) const;
  absl::StatusOr<double> Number() const;  // finite

  // The member `key`, or `fallback` where it is absent or null.
  absl::StatusOr<std::string> StringOr(absl::string_view key, absl::string_view fallback) const;
  absl::StatusOr<bool> BoolOr(absl::string_view key, bool fallback) const;
  absl::StatusOr<int64_t> IntegerOr(absl::string_view key, int64_t min, int64_t max,
                                    int64_t fallback) const;
  absl::StatusOr<double> NumberOr(absl::string_view key, double fallback) const;

  // For long loops, which name an element only once it is wrong.
  simdjson::dom::element value() const { return value_; }
  JsonNode Element(size_t index, simdjson::dom::element value) const;
  JsonNode Element(absl::string_view key, simdjson::dom::element value) const;

  // "<file>: <path>: found <this value>, expected <expected>"
  absl::Status Unexpected(absl::string_view expected) const;
  // The same for the member "type".
  absl::Status UnexpectedType(absl::string_view expected) const;
  // "<file>: <path>: <message>"
  absl::Status Error(absl::string_view message) const;

 private:
  absl::string_view file_;
  std::string path_;
  simdjson::dom::element value_;
};

// A parsed file.
class JsonDocument {
 public:
  // NOT_FOUND where there is no such file, INVALID_ARGUMENT where it is no JSON.
  static absl::StatusOr<std::unique_ptr<JsonDocument>> FromFile(const std::string& path);
  // `name` stands for the file in messages.
  static absl::StatusOr<std::unique_ptr<JsonDocument>> FromText(absl::string_view text,
                                                                absl::string_view name);
  JsonNode root() const { return JsonNode(name_, "", root_); }

 private:
  JsonDocument() = default;

  std::string name_;
  simdjson::dom::parser parser_;  // owns what root_ points to
  simdjson::dom::element root_;
};

// `text` in double quotes, escaped, and cut to a length that fits a line.
std::string Quoted(absl::string_view text);

}  // namespace quire

#endif  // QUIRE_CORE_JSON_H_
