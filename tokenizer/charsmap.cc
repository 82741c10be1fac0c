#include "tokenizer/charsmap.h"

#include <simdjson.h>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"

namespace quire {
namespace {

uint32_t ReadUint32(absl::string_view bytes, size_t pos) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) {
    value = value << 8 | static_cast<unsigned char>(bytes[pos + static_cast<size_t>(i)]);
  }
  return value;
}

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the rules are malformed: ", what));
}

}  // namespace

absl::StatusOr<Charsmap> Charsmap::Parse(absl::string_view blob) {
  constexpr size_t kUnitBytes = sizeof(uint32_t);
  if (blob.size() < kUnitBytes) {
    return Malformed(absl::StrCat("they have ", blob.size(), " bytes, at least 4 are expected"));
  }
  const size_t trie_bytes = ReadUint32(blob, 0);
  blob.remove_prefix(kUnitBytes);
  if (trie_bytes > blob.size()) {
    return Malformed(absl::StrCat("the trie is said to have ", trie_bytes, " bytes, but only ",
                                  blob.size(), " follow"));
  }
  if (trie_bytes == 0 || trie_bytes % kUnitBytes != 0) {
    return Malformed(
        absl::StrCat("the trie has ", trie_bytes, " bytes, expected a multiple of 4 above 0"));
  }
  Charsmap out;
  for (size_t pos = 0; pos < trie_bytes; pos += kUnitBytes) {
    out.units_.push_back(ReadUint32(blob, pos));
  }
  blob.remove_prefix(trie_bytes);
  if (!simdjson::validate_utf8(blob.data(), blob.size())) {
    return Malformed("the texts are not valid UTF-8");
  }
  out.texts_ = std::string(blob);
  QUIRE_RETURN_IF_ERROR(out.Check());
  return out;
}

// That no text makes Find leave the arrays: looks at each state that any bytes lead to.
absl::Status Charsmap::Check() const {
  std::vector<bool> is_known(units_.size());
  std::vector<uint32_t> to_do;
  const auto add = [&](uint32_t state) {
    // All its transitions are in one block of 256 units.
    if ((state | 0xFF) >= units_.size()) {
      return Malformed(absl::StrCat("a state of the trie is ", state, " of ", units_.size()));
    }
    if (!is_known[state]) to_do.push_back(state);
    is_known[state] = true;
    return absl::OkStatus();
  };
  QUIRE_RETURN_IF_ERROR(add(Offset(units_[0])));
  while (!to_do.empty()) {
    const uint32_t state = to_do.back();
    to_do.pop_back();
    for (uint32_t byte = 1; byte < 256; ++byte) {
      const uint32_t unit = units_[state ^ byte];
      if (Label(unit) != byte) continue;
      const uint32_t next = (state ^ byte) ^ Offset(unit);
      QUIRE_RETURN_IF_ERROR(add(next));
      if (!HasLeaf(unit)) continue;
      const uint32_t text = Value(units_[next]);
      if (text >= texts_.size() || texts_.find('\0', text) == std::string::npos ||
          (static_cast<unsigned char>(texts_[text]) & 0xC0) == 0x80) {
        return Malformed(absl::StrCat("no text starts at ", text, " of ", texts_.size(), " bytes"));
      }
    }
  }
  return absl::OkStatus();
}

std::optional<absl::string_view> Charsmap::Find(absl::string_view text) const {
  uint32_t state = Offset(units_[0]);
  for (const char c : text) {
    const uint32_t byte = static_cast<unsigned char>(c);
    if (byte == 0) return std::nullopt;
    const uint32_t unit = units_[state ^ byte];
    if (Label(unit) != byte) return std::nullopt;
    state = (state ^ byte) ^ Offset(unit);
    if (HasLeaf(unit)) {
      const size_t begin = Value(units_[state]);
      return absl::string_view(texts_).substr(begin, texts_.find('\0', begin) - begin);
    }
  }
  return std::nullopt;
}

}  // namespace quire
