// A node of tokenizer.json that knows where it stands, so that every fault in the file becomes one
// INVALID_ARGUMENT line: file, JSON path, what was found and what was expected.
#ifndef QUIRE_TOKENIZER_JSON_H_
#define QUIRE_TOKENIZER_JSON_H_

#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace quire {

// Borrows the file's name and the parsed document.
class JsonNode {
 public:
  JsonNode(absl::string_view file, std::string path, simdjson::dom::element value)
      : file_(file), path_(std::move(path)), value_(value) {}

  absl::StatusOr<JsonNode> Member(absl::string_view key) const;
  // nullopt where it is absent or null, or where this is no object.
  std::optional<JsonNode> Find(absl::string_view key) const;
  // The member "type", a string.
  absl::StatusOr<std::string> Type() const;

  absl::StatusOr<std::string> String() const;
  absl::StatusOr<char32_t> Character() const;  // a string of one character
  absl::StatusOr<int64_t> Integer(int64_t min, int64_t max) const;
  absl::StatusOr<std::vector<JsonNode>> Elements() const;  // of an array
  // The member `key`, or `fallback` where it is absent or null.
  absl::StatusOr<bool> BoolOr(absl::string_view key, bool fallback) const;

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

// `text` in double quotes, cut to a length that fits a line.
std::string Quoted(absl::string_view text);

}  // namespace quire

#endif  // QUIRE_TOKENIZER_JSON_H_
