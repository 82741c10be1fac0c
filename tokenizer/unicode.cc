#include "tokenizer/unicode.h"

#include <utf8proc.h>

#include "tokenizer/unicode_data.h"

namespace quire {
namespace {

bool InRange(char32_t value, char32_t first, char32_t last) {
  return value >= first && value <= last;
}

}  // namespace

Utf8Sequence NextUtf8(absl::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {Utf8Kind::kValid, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Kind::kInvalid, 1};
  const size_t length = Utf8Bytes(bytes[0]);
  // Only the second byte has bounds of its own: overlong forms, surrogates, above U+10FFFF.
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < length; ++i) {
    if (i == bytes.size()) return {Utf8Kind::kUnfinished, i};
    const bool good = i == 1 ? InRange(byte(1), low, high) : InRange(byte(i), 0x80, 0xBF);
    if (!good) return {Utf8Kind::kInvalid, i};
  }
  return {Utf8Kind::kValid, length};
}

size_t AppendReplacingInvalid(absl::string_view bytes, std::string* out) {
  while (!bytes.empty()) {
    const Utf8Sequence next = NextUtf8(bytes);
    if (next.kind == Utf8Kind::kUnfinished) return next.bytes;
    const absl::string_view text =
        next.kind == Utf8Kind::kValid ? bytes.substr(0, next.bytes) : kReplacementCharacter;
    out->append(text.data(), text.size());
    bytes.remove_prefix(next.bytes);
  }
  return 0;
}

std::string ReplaceInvalidUtf8(absl::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  if (AppendReplacingInvalid(bytes, &out) != 0) {
    out.append(kReplacementCharacter.data(), kReplacementCharacter.size());
  }
  return out;
}

absl::string_view GeneralCategory(char32_t code_point) {
  const CategoryRange* newer = FindRange(kAssignedSinceUnicode14, code_point);
  return newer != nullptr ? newer->category
                          : utf8proc_category_string(static_cast<utf8proc_int32_t>(code_point));
}

bool IsWhitespace(char32_t c) {
  if (c < 0x80) return c == ' ' || InRange(c, '\t', '\r');
  return FindRange(kWhiteSpace, c) != nullptr;
}

bool IsNumeric(char32_t c) {
  if (c < 0x80) return InRange(c, '0', '9');
  // Two ranges of Unicode 17, which Rust's standard library already knows.
  return GeneralCategory(c)[0] == 'N' || InRange(c, 0x11DE0, 0x11DE9) ||
         InRange(c, 0x16FF4, 0x16FF6);
}

bool IsPunctuation(char32_t c) {
  if (c < 0x80) {
    return InRange(c, '!', '/') || InRange(c, ':', '@') || InRange(c, '[', '`') ||
           InRange(c, '{', '~');
  }
  if (c == 0x166D || c == 0x111C9) return true;  // later symbols, not punctuation
  return GeneralCategory(c)[0] == 'P' && FindRange(kPunctuationSinceUnicode7, c) == nullptr;
}

bool IsWord(char32_t c) {
  const absl::string_view category = GeneralCategory(c);
  if (category[0] == 'L' || category[0] == 'M' || category == "Nd" || category == "Nl" ||
      category == "Pc") {
    return true;
  }
  return InRange(c, 0x200C, 0x200D) ||  // Join_Control
         FindRange(kOtherAlphabeticSymbols, c) != nullptr;
}

bool IsControl(char32_t c) {
  const absl::string_view category = GeneralCategory(c);
  return category == "Cc" || category == "Co" ||
         (category == "Cf" && FindRange(kFormatSinceUnicode7, c) == nullptr);
}

bool IsNonspacingMark(char32_t c) {
  if (c < 0x300) return false;
  if (c == 0x1734) return true;  // Mc today
  return GeneralCategory(c) == "Mn" && FindRange(kNonspacingSinceUnicode7, c) == nullptr;
}

bool IsMark(char32_t c) {
  if (c < 0x300) return false;
  if (InRange(c, 0x1CF2, 0x1CF3)) return true;  // letters today
  return GeneralCategory(c)[0] == 'M' && FindRange(kMarksSinceUnicode9, c) == nullptr;
}

void AppendLowercase(char32_t c, std::string* out) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(InRange(c, 'A', 'Z') ? c + ('a' - 'A') : c));
  } else if (c == 0x130) {
    out->append("i\u0307");  // the one whose lowercase is two characters
  } else if (const LowercaseRange* newer = FindRange(kLowercaseSinceUnicode14, c)) {
    AppendUtf8(newer->lower + (c - newer->first), out);
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
  }
}

bool IsClassedDifferently(char32_t c) {
  return c == 0x180E || FindRange(kAssignedSinceUnicode14, c) != nullptr;
}

bool IsInertInUnicode9(char32_t c) {
  return FindRange(kNormalizableSinceUnicode9, c) != nullptr ||
         FindRange(kAssignedSinceUnicode14, c) != nullptr;
}

}  // namespace quire
