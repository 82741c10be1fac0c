// The regular expressions of tokenizer.json, on PCRE2.
#ifndef QUIRE_TOKENIZER_REGEX_H_
#define QUIRE_TOKENIZER_REGEX_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tokenizer/cpu_limit.h"
#include "tokenizer/regex_classes.h"

struct pcre2_real_code_8;

namespace quire {

// tokenizer.json's patterns are written for Oniguruma (its default syntax). This writes the PCRE2
// pattern that matches the same, whatever the version of its Unicode tables; what would mean
// something else there, or is not known to mean the same, is an error that names it.
absl::StatusOr<std::string> TranslatePattern(absl::string_view pattern, ClassForm form);

// Immutable and thread-safe.
class Regex {
 public:
  // INVALID_ARGUMENT says what is wrong with the pattern, or what is not supported in it.
  static absl::StatusOr<std::unique_ptr<const Regex>> Compile(absl::string_view pattern);

  // Calls on_match with the half-open byte range of each match in `text` (valid UTF-8), leftmost
  // first, not overlapping; an empty one is skipped where another match has just ended.
  // INVALID_ARGUMENT when the search passes PCRE2's limits on steps or memory, or `cpu_limit`,
  // which no pattern of a known model comes near.
  absl::Status FindAll(absl::string_view text, CpuLimit* cpu_limit,
                       absl::FunctionRef<void(size_t begin, size_t end)> on_match) const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  using Code = std::unique_ptr<pcre2_real_code_8, FreeCode>;

  Regex(Code short_code, Code exact_code)
      : short_code_(std::move(short_code)), exact_code_(std::move(exact_code)) {}
  static absl::StatusOr<Code> CompileForm(absl::string_view pattern, ClassForm form);

  Code short_code_;
  Code exact_code_;
};

}  // namespace quire

#endif  // QUIRE_TOKENIZER_REGEX_H_
