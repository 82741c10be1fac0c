#include "tokenizer/regex.h"

#include "absl/strings/str_cat.h"
#include "core/check.h"
#include "core/status_macros.h"
#include "tokenizer/unicode.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace quire {
namespace {

// A match may take this many steps (one for each byte of a run of spaces, where PCRE2 has no JIT):
// what backtracks exponentially meets the limit within seconds.
constexpr uint32_t kMaxSteps = 100'000'000;
constexpr uint32_t kMaxHeapKib = 64 * 1024;
constexpr size_t kMaxJitStackBytes = 8 << 20;
// To look at the clock in between, a search stops after this many bytes without a match.
constexpr size_t kSearchBytes = 1024;

// What a thread needs to match any pattern: only the bounds of the whole match are asked for.
struct Pcre2Thread {
  Pcre2Thread()
      : data(pcre2_match_data_create(1, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        jit_stack(pcre2_jit_stack_create(32 * 1024, kMaxJitStackBytes, nullptr)) {
    QUIRE_CHECK(data != nullptr && context != nullptr) << "out of memory";
    pcre2_set_match_limit(context, kMaxSteps);
    pcre2_set_heap_limit(context, kMaxHeapKib);
    pcre2_jit_stack_assign(context, nullptr, jit_stack);
  }
  ~Pcre2Thread() {
    pcre2_jit_stack_free(jit_stack);
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
  Pcre2Thread(const Pcre2Thread&) = delete;
  Pcre2Thread& operator=(const Pcre2Thread&) = delete;

  pcre2_match_data* data;
  pcre2_match_context* context;
  pcre2_jit_stack* jit_stack;  // null where there is no JIT
};

std::string ErrorText(int code) {
  char text[256];
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof(text));
  return text;
}

bool NeedsExactClasses(absl::string_view text) {
  for (size_t pos = 0; pos < text.size(); pos += Utf8Bytes(text[pos])) {
    // Nothing in two bytes is classed differently.
    if (Utf8Bytes(text[pos]) > 2 && IsClassedDifferently(CodePointAt(text, pos))) return true;
  }
  return false;
}

}  // namespace

void Regex::FreeCode::operator()(pcre2_code* code) const { pcre2_code_free(code); }

absl::StatusOr<Regex::Code> Regex::CompileForm(absl::string_view pattern, ClassForm form) {
  QUIRE_ASSIGN_OR_RETURN(const std::string translated, TranslatePattern(pattern, form));
  const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  QUIRE_CHECK(context != nullptr) << "out of memory";
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  size_t offset = 0;
  // Oniguruma's ^ and $ always match at lines.
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                          PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_USE_OFFSET_LIMIT, &error,
                          &offset, context.get()));
  if (code == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("not a valid pattern: ", ErrorText(error)));
  }
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where there is none, it is only slower
  return code;
}

absl::StatusOr<std::unique_ptr<const Regex>> Regex::Compile(absl::string_view pattern) {
  QUIRE_ASSIGN_OR_RETURN(Code short_code, CompileForm(pattern, ClassForm::kShort));
  QUIRE_ASSIGN_OR_RETURN(Code exact_code, CompileForm(pattern, ClassForm::kExact));
  return std::unique_ptr<const Regex>(new Regex(std::move(short_code), std::move(exact_code)));
}

absl::Status Regex::FindAll(absl::string_view text, CpuLimit* cpu_limit,
                            absl::FunctionRef<void(size_t begin, size_t end)> on_match) const {
  thread_local const Pcre2Thread thread;
  const pcre2_code* code = (NeedsExactClasses(text) ? exact_code_ : short_code_).get();
  const size_t* bounds = pcre2_get_ovector_pointer(thread.data);
  const auto next_character = [text](size_t pos) {
    return pos + (pos < text.size() ? Utf8Bytes(text[pos]) : 1);
  };
  size_t last_end = std::string::npos;
  for (size_t pos = 0; pos <= text.size();) {
    const size_t last_begin = pos + kSearchBytes < text.size()
                                  ? PreviousCharacter(text, pos + kSearchBytes)
                                  : text.size();
    pcre2_set_offset_limit(thread.context, last_begin);
    const auto match = [&](uint32_t options) {
      return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), pos,
                         PCRE2_NO_UTF_CHECK | options, thread.data, thread.context);
    };
    int result = match(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
    // A long search may have taken long; short ones, of many matches or in many pieces of the text,
    // add up.
    const bool long_search = result == PCRE2_ERROR_NOMATCH && last_begin - pos >= kSearchBytes / 2;
    if (long_search ? cpu_limit->IsPassed() : cpu_limit->IsPassedNowAndThen()) {
      result = PCRE2_ERROR_MATCHLIMIT;
    }
    if (result == PCRE2_ERROR_NOMATCH && last_begin == text.size()) break;
    if (result == PCRE2_ERROR_NOMATCH) {
      pos = next_character(last_begin);
      continue;
    }
    if (result < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the tokenizer's split pattern gave up on this text at byte ", pos, ": ",
                       ErrorText(result)));
    }
    const size_t begin = bounds[0];
    const size_t end = bounds[1];
    if (begin == end && end == last_end) {
      pos = next_character(end);
      continue;
    }
    on_match(begin, end);
    pos = last_end = end;
  }
  return absl::OkStatus();
}

}  // namespace quire
