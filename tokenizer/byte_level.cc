#include "tokenizer/byte_level.h"

#include <array>
#include <cstdint>

#include "tokenizer/unicode.h"

namespace quire {
namespace {

constexpr bool IsPrintable(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

// Printable bytes are the characters of Latin-1; the others follow from U+0100.
constexpr int kAlphabetEnd = 0x100 + 68;

struct Alphabet {
  std::array<char32_t, 256> character_of{};
  std::array<int16_t, kAlphabetEnd> byte_of{};  // -1 where a character stands for none

  constexpr Alphabet() {
    for (int16_t& byte : byte_of) byte = -1;
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t c = IsPrintable(byte) ? static_cast<char32_t>(byte) : next++;
      character_of[byte] = c;
      byte_of[c] = static_cast<int16_t>(byte);
    }
  }
};
constexpr Alphabet kAlphabet;

// UTF-8 of each byte's character.
struct EncodedCharacter {
  char text[2];
  uint8_t size;
};
constexpr std::array<EncodedCharacter, 256> kEncoded = [] {
  std::array<EncodedCharacter, 256> encoded{};
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t c = kAlphabet.character_of[byte];
    if (c < 0x80) {
      encoded[byte] = {{static_cast<char>(c), 0}, 1};
    } else {
      encoded[byte] = {{static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))}, 2};
    }
  }
  return encoded;
}();

}  // namespace

void AppendByteLevel(absl::string_view bytes, std::string* out) {
  size_t end = out->size();
  out->resize(end + 2 * bytes.size());
  char* const text = out->data();
  for (const char byte : bytes) {
    // Both bytes are written; the second is overwritten where the character has only one.
    const EncodedCharacter& character = kEncoded[static_cast<unsigned char>(byte)];
    text[end] = character.text[0];
    text[end + 1] = character.text[1];
    end += character.size;
  }
  out->resize(end);
}

void AppendBytesOf(absl::string_view text, std::string* out) {
  const size_t begin = out->size();
  for (size_t pos = 0; pos < text.size(); pos += Utf8Bytes(text[pos])) {
    const char32_t c = CodePointAt(text, pos);
    if (c >= kAlphabetEnd || kAlphabet.byte_of[c] < 0) {
      out->resize(begin);
      out->append(text.data(), text.size());
      return;
    }
    out->push_back(static_cast<char>(kAlphabet.byte_of[c]));
  }
}

}  // namespace quire
