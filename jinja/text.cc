#include "jinja/text.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/utf8.h"

namespace quire::jinja {
namespace {

bool IsContinuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80; }

template <typename Visit>
void ForEachCharacter(absl::string_view text, Visit visit) {
  for (size_t pos = 0; pos < text.size(); pos += Utf8Bytes(text[pos])) visit(pos);
}

bool IsPrintable(char32_t c) {
  if (c == U' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    default:
      return true;
  }
}

}  // namespace

bool IsSpace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

int64_t CountCharacters(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return !IsContinuation(c); });
}

size_t ByteOf(absl::string_view text, int64_t index) {
  size_t pos = 0;
  for (; index > 0 && pos < text.size(); --index) pos += Utf8Bytes(text[pos]);
  return pos;
}

std::vector<absl::string_view> Characters(absl::string_view text) {
  std::vector<absl::string_view> characters;
  ForEachCharacter(
      text, [&](size_t pos) { characters.push_back(text.substr(pos, Utf8Bytes(text[pos]))); });
  return characters;
}

absl::string_view Strip(absl::string_view text, std::optional<absl::string_view> set, bool left,
                        bool right) {
  const auto goes = [&](size_t pos) {
    if (!set) return IsSpace(CodePointAt(text, pos));
    // Whole characters of valid UTF-8 are found as such.
    return set->find(text.substr(pos, Utf8Bytes(text[pos]))) != absl::string_view::npos;
  };
  size_t begin = 0;
  while (left && begin < text.size() && goes(begin)) begin += Utf8Bytes(text[begin]);
  size_t end = text.size();
  while (right && end > begin && goes(PreviousCharacter(text, end))) {
    end = PreviousCharacter(text, end);
  }
  return text.substr(begin, end - begin);
}

std::vector<absl::string_view> SplitWords(absl::string_view text, int64_t max, bool from_right) {
  std::vector<absl::string_view> words;
  absl::string_view rest = Strip(text, std::nullopt, !from_right, from_right);
  while (!rest.empty()) {
    if (max >= 0 && static_cast<int64_t>(words.size()) == max) {
      // The other end keeps its white space.
      words.push_back(rest);
      break;
    }
    size_t cut = from_right ? rest.size() : 0;
    if (from_right) {
      while (cut > 0 && !IsSpace(CodePointAt(rest, PreviousCharacter(rest, cut)))) {
        cut = PreviousCharacter(rest, cut);
      }
      words.push_back(rest.substr(cut));
      rest = Strip(rest.substr(0, cut), std::nullopt, false, true);
    } else {
      while (cut < rest.size() && !IsSpace(CodePointAt(rest, cut))) cut += Utf8Bytes(rest[cut]);
      words.push_back(rest.substr(0, cut));
      rest = Strip(rest.substr(cut), std::nullopt, true, false);
    }
  }
  if (from_right) std::reverse(words.begin(), words.end());
  return words;
}

std::vector<absl::string_view> SplitAt(absl::string_view text, absl::string_view separator,
                                       int64_t max, bool from_right) {
  std::vector<absl::string_view> parts;
  absl::string_view rest = text;
  while (max < 0 || static_cast<int64_t>(parts.size()) < max) {
    const size_t found = from_right ? rest.rfind(separator) : rest.find(separator);
    if (found == absl::string_view::npos) break;
    const size_t after = found + separator.size();
    parts.push_back(from_right ? rest.substr(after) : rest.substr(0, found));
    rest = from_right ? rest.substr(0, found) : rest.substr(after);
  }
  parts.push_back(rest);
  if (from_right) std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<absl::string_view> SplitLines(absl::string_view text, bool keep_ends) {
  const auto ends_line = [](char32_t c) {
    return (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
           c == 0x2029;
  };
  std::vector<absl::string_view> lines;
  size_t begin = 0;
  size_t pos = 0;
  while (pos < text.size()) {
    size_t next = pos + Utf8Bytes(text[pos]);
    if (ends_line(CodePointAt(text, pos))) {
      if (text[pos] == '\r' && next < text.size() && text[next] == '\n') ++next;
      lines.push_back(text.substr(begin, (keep_ends ? next : pos) - begin));
      begin = next;
    }
    pos = next;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

int64_t CountOf(absl::string_view text, absl::string_view part) {
  if (part.empty()) return CountCharacters(text) + 1;
  int64_t count = 0;
  for (size_t pos = text.find(part); pos != absl::string_view::npos;
       pos = text.find(part, pos + part.size())) {
    ++count;
  }
  return count;
}

int64_t SizeOfReplaced(absl::string_view text, absl::string_view from, absl::string_view to,
                       int64_t max) {
  int64_t count = CountOf(text, from);
  if (max >= 0) count = std::min(count, max);
  return static_cast<int64_t>(text.size()) +
         count * (static_cast<int64_t>(to.size()) - static_cast<int64_t>(from.size()));
}

std::string Replace(absl::string_view text, absl::string_view from, absl::string_view to,
                    int64_t max) {
  std::string out;
  size_t pos = 0;
  while (max != 0) {
    const size_t found = text.find(from, pos);
    if (found == absl::string_view::npos) break;
    out.append(text.data() + pos, found - pos);
    out.append(to.data(), to.size());
    pos = found + from.size();
    if (max > 0) --max;
    if (!from.empty()) continue;
    // Nothing is found before each character and at the end.
    if (pos == text.size()) return out;
    const size_t bytes = Utf8Bytes(text[pos]);
    out.append(text.data() + pos, bytes);
    pos += bytes;
  }
  out.append(text.data() + pos, text.size() - pos);
  return out;
}

std::string Repr(absl::string_view text) {
  const bool has_single = text.find('\'') != absl::string_view::npos;
  const char quote = has_single && text.find('"') == absl::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  ForEachCharacter(text, [&](size_t pos) {
    const char32_t c = CodePointAt(text, pos);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      absl::StrAppend(&out, "\\", std::string(1, static_cast<char>(c)));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (IsPrintable(c)) {
      AppendUtf8(c, &out);
    } else if (c < 0x100) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned>(c));
    } else {
      absl::StrAppendFormat(&out, c < 0x10000 ? "\\u%04x" : "\\U%08x", static_cast<unsigned>(c));
    }
  });
  out += quote;
  return out;
}

std::string Repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char buffer[64];
  const double magnitude = std::fabs(value);
  const bool plain = magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value, format);
  std::string text(buffer, end.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

void AppendJson(absl::string_view text, bool ensure_ascii, std::string& out) {
  out += '"';
  ForEachCharacter(text, [&](size_t pos) {
    const char32_t c = CodePointAt(text, pos);
    constexpr absl::string_view kEscaped = "\"\\\n\r\t\f\b";
    constexpr absl::string_view kLetters = "\"\\nrtfb";
    const size_t found = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : absl::string_view::npos;
    if (found != absl::string_view::npos) {
      out += '\\';
      out += kLetters[found];
    } else if (c >= 0x10000 && ensure_ascii) {
      const unsigned low = static_cast<unsigned>(c) - 0x10000;
      absl::StrAppendFormat(&out, "\\u%04x\\u%04x", 0xD800 + (low >> 10), 0xDC00 + (low & 0x3FF));
    } else if (c < 0x20 || (c > 0x7F && ensure_ascii)) {
      absl::StrAppendFormat(&out, "\\u%04x", static_cast<unsigned>(c));
    } else {
      out.append(text.data() + pos, Utf8Bytes(text[pos]));
    }
  });
  out += '"';
}

std::string EscapeHtml(absl::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace quire::jinja
