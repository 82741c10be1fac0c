#include "tokenizer/regex.h"

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/status_macros.h"
#include "tokenizer/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace quire {
namespace {

// A run of spaces costs a step per byte where PCRE2 has no JIT, so this admits texts of tens of
// megabytes; a pattern that backtracks exponentially meets it in about a second.
constexpr uint32_t kMaxSteps = 100'000'000;
constexpr uint32_t kMaxHeapKib = 64 * 1024;

struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

// One per thread serves every pattern: only the bounds of the whole match are asked for.
pcre2_match_data* ThreadMatchData() {
  thread_local const std::unique_ptr<pcre2_match_data, FreeMatchData> data(
      pcre2_match_data_create(1, nullptr));
  QUIRE_CHECK(data != nullptr) << "out of memory";
  return data.get();
}

std::string ErrorText(int code) {
  char text[256];
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof(text));
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Regex>> Regex::Compile(absl::string_view pattern) {
  QUIRE_ASSIGN_OR_RETURN(const std::string translated, TranslatePattern(pattern));
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_match_context* limits = pcre2_match_context_create(nullptr);
  QUIRE_CHECK(context != nullptr && limits != nullptr) << "out of memory";
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pcre2_set_match_limit(limits, kMaxSteps);
  pcre2_set_heap_limit(limits, kMaxHeapKib);

  int error = 0;
  size_t offset = 0;
  // Oniguruma's ^ and $ always match at lines.
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, context);
  pcre2_compile_context_free(context);
  if (code == nullptr) {
    pcre2_match_context_free(limits);
    return absl::InvalidArgumentError(absl::StrCat("not a valid pattern: ", ErrorText(error)));
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where there is none, matching is only slower
  return std::unique_ptr<const Regex>(new Regex(code, limits));
}

Regex::~Regex() {
  pcre2_code_free(code_);
  pcre2_match_context_free(limits_);
}

absl::Status Regex::FindAll(absl::string_view text,
                            absl::FunctionRef<void(size_t begin, size_t end)> on_match) const {
  pcre2_match_data* data = ThreadMatchData();
  const size_t* bounds = pcre2_get_ovector_pointer(data);
  size_t last_end = std::string::npos;
  for (size_t pos = 0; pos <= text.size();) {
    const auto match = [&](uint32_t options) {
      return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), pos,
                         PCRE2_NO_UTF_CHECK | options, data, limits_);
    };
    int result = match(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) break;
    if (result < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the tokenizer's split pattern gave up on this text at byte ", pos, ": ",
                       ErrorText(result)));
    }
    const size_t begin = bounds[0];
    const size_t end = bounds[1];
    if (begin == end && end == last_end) {
      pos += end < text.size() ? Utf8Bytes(text[end]) : 1;
      continue;
    }
    on_match(begin, end);
    pos = last_end = end;
  }
  return absl::OkStatus();
}

}  // namespace quire
