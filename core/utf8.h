// Characters of valid UTF-8.
#ifndef QUIRE_CORE_UTF8_H_
#define QUIRE_CORE_UTF8_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace quire {

// Bytes of the character that starts with `lead`, in valid UTF-8.
inline size_t Utf8Bytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// The character at text[pos]; `text` is valid UTF-8 and has one there.
inline char32_t CodePointAt(absl::string_view text, size_t pos) {
  const auto byte = [&](size_t i) -> char32_t { return static_cast<unsigned char>(text[pos + i]); };
  const auto tail = [&](size_t i) { return byte(i) & 0x3F; };
  switch (Utf8Bytes(text[pos])) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1F) << 6 | tail(1);
    case 3:
      return (byte(0) & 0x0F) << 12 | tail(1) << 6 | tail(2);
    default:
      return (byte(0) & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3);
  }
}

// Where the character before text[pos] starts; pos > 0.
inline size_t PreviousCharacter(absl::string_view text, size_t pos) {
  do {
    --pos;
  } while ((static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80);
  return pos;
}

inline void AppendUtf8(char32_t code_point, std::string* out) {
  const auto tail = [&](int shift) {
    out->push_back(static_cast<char>(0x80 | (code_point >> shift & 0x3F)));
  };
  if (code_point < 0x80) {
    out->push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    out->push_back(static_cast<char>(0xC0 | code_point >> 6));
    tail(0);
  } else if (code_point < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | code_point >> 12));
    tail(6);
    tail(0);
  } else {
    out->push_back(static_cast<char>(0xF0 | code_point >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace quire

#endif  // QUIRE_CORE_UTF8_H_
