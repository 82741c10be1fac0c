// What a Split pre-tokeniser or a Replace normaliser looks for.
#ifndef QUIRE_TOKENIZER_PATTERN_H_
#define QUIRE_TOKENIZER_PATTERN_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tokenizer/cpu_limit.h"
#include "tokenizer/json.h"

namespace quire {

// A half-open byte range of a text that is a match, or lies between two.
struct Segment {
  size_t begin;
  size_t end;
  bool is_match;
};

// Immutable and thread-safe.
class Pattern {
 public:
  virtual ~Pattern() = default;
  // Sets `segments` to cover `text` (valid UTF-8, not empty) in order, without gaps. `cpu_limit` is
  // that of the whole Encode.
  virtual absl::Status FindSegments(absl::string_view text, CpuLimit* cpu_limit,
                                    std::vector<Segment>* segments) const = 0;
};

// {"String": "..."} or {"Regex": "..."}.
absl::StatusOr<std::unique_ptr<const Pattern>> ReadPattern(const JsonNode& node);
std::unique_ptr<const Pattern> MakeLiteralPattern(absl::string_view literal);
// INVALID_ARGUMENT: see Regex::Compile.
absl::StatusOr<std::unique_ptr<const Pattern>> MakeRegexPattern(absl::string_view regex);
// Each character of the class is a match.
std::unique_ptr<const Pattern> MakeCharacterPattern(bool (*in_class)(char32_t));
// Each longest run of word characters, and each of characters that are neither those nor space.
std::unique_ptr<const Pattern> MakeWordPattern();

}  // namespace quire

#endif  // QUIRE_TOKENIZER_PATTERN_H_
