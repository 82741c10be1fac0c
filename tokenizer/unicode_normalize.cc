// utf8proc has the data (decompositions, combining classes, compositions). The canonical order is
// sorted here, because utf8proc's own sort is quadratic in the length of a run of marks.
#include "tokenizer/unicode_normalize.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "tokenizer/unicode.h"

namespace quire {
namespace {

bool Composes(NormalForm form) { return form == NormalForm::kNfc || form == NormalForm::kNfkc; }
bool IsCompatible(NormalForm form) {
  return form == NormalForm::kNfkc || form == NormalForm::kNfkd;
}

// Whether `c` is its own normal form, has combining class 0 and is never the second part of a
// composition. No need to be complete: these ranges are most of most texts.
bool IsStable(NormalForm form, char32_t c) {
  const auto in = [c](char32_t first, char32_t last) { return c >= first && c <= last; };
  if (c < 0xA0) return true;
  if (form == NormalForm::kNfc && (c < 0x300 || in(0x400, 0x482) || in(0xAC00, 0xD7A3)))
    return true;
  if (form == NormalForm::kNfkc && in(0xAC00, 0xD7A3)) return true;
  if (Composes(form) && (in(0x3041, 0x3096) || in(0x30A1, 0x30FA))) return true;
  return in(0x3400, 0x4DBF) || in(0x4E00, 0x9FFF);
}

struct Character {
  utf8proc_int32_t code_point;
  utf8proc_propval_t combining_class;
  bool inert;  // takes no part in composition
};

utf8proc_propval_t CombiningClass(utf8proc_int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

// The full decomposition of `text`, in canonical order.
std::vector<Character> Decompose(NormalForm form, absl::string_view text) {
  const int options = UTF8PROC_DECOMPOSE | (IsCompatible(form) ? UTF8PROC_COMPAT : 0);
  std::vector<Character> out;
  out.reserve(text.size());
  for (size_t pos = 0; pos < text.size(); pos += Utf8Bytes(text[pos])) {
    const char32_t c = CodePointAt(text, pos);
    const auto code_point = static_cast<utf8proc_int32_t>(c);
    if (IsInertInUnicode9(c)) {
      out.push_back({code_point, 0, true});
      continue;
    }
    utf8proc_int32_t parts[32];  // the longest decomposition, U+FDFA's, has 18
    int boundary = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(
        code_point, parts, 32, static_cast<utf8proc_option_t>(options), &boundary);
    QUIRE_CHECK_GT(count, 0) << "code point " << code_point;
    QUIRE_CHECK_LE(count, 32) << "code point " << code_point;
    for (utf8proc_ssize_t i = 0; i < count; ++i) {
      out.push_back({parts[i], CombiningClass(parts[i]), false});
    }
  }
  const auto is_starter = [](const Character& c) { return c.combining_class == 0; };
  for (auto run = out.begin(); run != out.end();) {
    run = std::find_if_not(run, out.end(), is_starter);
    const auto end = std::find_if(run, out.end(), is_starter);
    std::stable_sort(run, end, [](const Character& a, const Character& b) {
      return a.combining_class < b.combining_class;
    });
    run = end;
  }
  return out;
}

void AppendNormalized(NormalForm form, absl::string_view text, std::string* out) {
  const std::vector<Character> characters = Decompose(form, text);
  std::vector<utf8proc_int32_t> run;
  for (size_t i = 0; i < characters.size();) {
    run.clear();
    const bool inert = characters[i].inert;
    do {
      run.push_back(characters[i++].code_point);
    } while (i < characters.size() && characters[i].inert == inert);
    utf8proc_ssize_t size = static_cast<utf8proc_ssize_t>(run.size());
    if (Composes(form) && !inert) {
      size = utf8proc_normalize_utf32(
          run.data(), size, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
      QUIRE_CHECK_GT(size, 0);
    }
    for (utf8proc_ssize_t j = 0; j < size; ++j) AppendUtf8(static_cast<char32_t>(run[j]), out);
  }
}

}  // namespace

std::string Normalize(NormalForm form, absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t done = 0;      // text[0, done) is in `out`
  size_t previous = 0;  // where the character before `pos` starts
  for (size_t pos = 0; pos < text.size();) {
    const size_t next = pos + Utf8Bytes(text[pos]);
    if (IsStable(form, CodePointAt(text, pos))) {
      previous = pos;
      pos = next;
      continue;
    }
    // A stretch to normalise: the character that its first might compose with, up to the next
    // stable one.
    out.append(text.data() + done, previous - done);
    size_t end = next;
    while (end < text.size() && !IsStable(form, CodePointAt(text, end))) {
      end += Utf8Bytes(text[end]);
    }
    AppendNormalized(form, text.substr(previous, end - previous), &out);
    done = previous = pos = end;
  }
  out.append(text.data() + done, text.size() - done);
  return out;
}

}  // namespace quire
