#include "tokenizer/text_normalizers.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "core/status_macros.h"
#include "tokenizer/charsmap.h"
#include "tokenizer/grapheme.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_normalize.h"

namespace quire {
namespace {

// Calls visit(character, its bytes) for each one.
template <typename Visit>
void ForEachCharacter(absl::string_view text, Visit visit) {
  for (size_t pos = 0; pos < text.size();) {
    const size_t bytes = Utf8Bytes(text[pos]);
    visit(CodePointAt(text, pos), text.substr(pos, bytes));
    pos += bytes;
  }
}

void Append(absl::string_view text, std::string* out) { out->append(text.data(), text.size()); }

// Bytes of the first character; 0 of an empty text.
size_t FirstBytes(absl::string_view text) { return text.empty() ? 0 : Utf8Bytes(text[0]); }

// Drops the characters that `drop` is true of and puts a space for those that `is_space` is. The
// first `first_bytes` became of the text's first character.
template <typename Drop, typename IsSpace>
void DropAndBlank(NormalizedText* text, size_t first_bytes, Drop drop, IsSpace is_space) {
  std::string out;
  out.reserve(text->text.size());
  size_t dropped = 0;  // bytes before the first character that stays
  ForEachCharacter(text->text, [&](char32_t c, absl::string_view bytes) {
    if (!drop(c)) {
      Append(is_space(c) ? " " : bytes, &out);
    } else if (out.empty()) {
      dropped += bytes.size();
    }
  });
  if (dropped > 0 && dropped >= first_bytes) text->at_start = false;
  text->text = std::move(out);
}

constexpr auto kNoSpace = [](char32_t) { return false; };

void LowerEach(NormalizedText* text) {
  std::string out;
  out.reserve(text->text.size());
  ForEachCharacter(text->text, [&](char32_t c, absl::string_view) { AppendLowercase(c, &out); });
  text->text = std::move(out);
}

class Lowercase : public Normalizer {
 public:
  absl::Status Normalize(NormalizedText* text) const override {
    LowerEach(text);
    return absl::OkStatus();
  }
};

class StripAccents : public Normalizer {
 public:
  absl::Status Normalize(NormalizedText* text) const override {
    DropAndBlank(text, FirstBytes(text->text), IsMark, kNoSpace);
    return absl::OkStatus();
  }
};

class Nmt : public Normalizer {
 public:
  absl::Status Normalize(NormalizedText* text) const override {
    DropAndBlank(text, FirstBytes(text->text), IsDropped, IsSpace);
    return absl::OkStatus();
  }

 private:
  static bool IsDropped(char32_t c) {
    return (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
           c == 0x8F || c == 0x9F;
  }
  static bool IsSpace(char32_t c) {
    return c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
           (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
           c == 0xFEFF || c == 0xFFFD;
  }
};

struct BertOptions {
  bool clean_text = true;
  bool handle_chinese_chars = true;
  bool strip_accents = true;
  bool lowercase = true;
};

class BertNormalizer : public Normalizer {
 public:
  explicit BertNormalizer(BertOptions options) : options_(options) {}

  absl::Status Normalize(NormalizedText* text) const override {
    if (options_.clean_text) {
      DropAndBlank(text, FirstBytes(text->text), IsUnclean, IsWhitespace);
    }
    if (options_.handle_chinese_chars) SpaceIdeographs(&text->text);
    if (options_.strip_accents) StripMarks(text);
    if (options_.lowercase) LowerEach(text);
    return absl::OkStatus();
  }

 private:
  static bool IsUnclean(char32_t c) {
    if (c == '\t' || c == '\n' || c == '\r') return false;
    return c == 0xFFFD || IsControl(c);
  }

  static bool IsIdeograph(char32_t c) {
    return (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0x2F800 && c <= 0x2FA1F);
  }

  static void StripMarks(NormalizedText* text) {
    const absl::string_view first = absl::string_view(text->text).substr(0, FirstBytes(text->text));
    const size_t first_bytes = quire::Normalize(NormalForm::kNfd, first).size();
    text->text = quire::Normalize(NormalForm::kNfd, text->text);
    DropAndBlank(text, first_bytes, IsNonspacingMark, kNoSpace);
  }

  // Each becomes a word of its own.
  static void SpaceIdeographs(std::string* text) {
    std::string out;
    out.reserve(text->size());
    ForEachCharacter(*text, [&](char32_t c, absl::string_view bytes) {
      const bool spaced = IsIdeograph(c);
      if (spaced) out += ' ';
      Append(bytes, &out);
      if (spaced) out += ' ';
    });
    *text = std::move(out);
  }

  BertOptions options_;
};

class Precompiled : public Normalizer {
 public:
  explicit Precompiled(Charsmap rules) : rules_(std::move(rules)) {}

  // The package looks up each short cluster as a whole, others character by character.
  absl::Status Normalize(NormalizedText* text) const override {
    constexpr size_t kLongestCluster = 5;  // bytes
    const absl::string_view old = text->text;
    std::string out;
    out.reserve(old.size());
    for (size_t pos = 0; pos < old.size();) {
      const absl::string_view cluster = old.substr(pos, GraphemeEnd(old, pos) - pos);
      pos += cluster.size();
      if (cluster.size() <= kLongestCluster) {
        if (const std::optional<absl::string_view> replacement = rules_.Find(cluster)) {
          Append(*replacement, &out);
          continue;
        }
      }
      ForEachCharacter(cluster, [&](char32_t, absl::string_view character) {
        Append(rules_.Find(character).value_or(character), &out);
      });
    }
    text->text = std::move(out);
    return absl::OkStatus();
  }

 private:
  Charsmap rules_;
};

}  // namespace

std::unique_ptr<const Normalizer> MakeLowercase() { return std::make_unique<Lowercase>(); }
std::unique_ptr<const Normalizer> MakeStripAccents() { return std::make_unique<StripAccents>(); }
std::unique_ptr<const Normalizer> MakeNmt() { return std::make_unique<Nmt>(); }

absl::StatusOr<std::unique_ptr<const Normalizer>> ReadBertNormalizer(const JsonNode& node) {
  BertOptions options;
  QUIRE_ASSIGN_OR_RETURN(options.clean_text, node.BoolOr("clean_text", true));
  QUIRE_ASSIGN_OR_RETURN(options.handle_chinese_chars, node.BoolOr("handle_chinese_chars", true));
  QUIRE_ASSIGN_OR_RETURN(options.lowercase, node.BoolOr("lowercase", true));
  QUIRE_ASSIGN_OR_RETURN(options.strip_accents, node.BoolOr("strip_accents", options.lowercase));
  return std::make_unique<BertNormalizer>(options);
}

absl::StatusOr<std::unique_ptr<const Normalizer>> ReadPrecompiled(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode base64_node, node.Member("precompiled_charsmap"));
  QUIRE_ASSIGN_OR_RETURN(const std::string base64, base64_node.String());
  std::string blob;
  if (!absl::Base64Unescape(base64, &blob)) return base64_node.Unexpected("a text in base64");
  absl::StatusOr<Charsmap> rules = Charsmap::Parse(blob);
  if (!rules.ok()) return base64_node.Error(rules.status().message());
  return std::make_unique<Precompiled>(*std::move(rules));
}

}  // namespace quire
