#include "tokenizer/pattern.h"

#include <optional>
#include <utility>

#include "core/status_macros.h"
#include "tokenizer/regex.h"
#include "tokenizer/unicode.h"

namespace quire {
namespace {

// Collects matches in order and fills in what lies between them.
class SegmentList {
 public:
  explicit SegmentList(std::vector<Segment>* segments) : segments_(*segments) { segments_.clear(); }

  void AddMatch(size_t begin, size_t end) {
    FillTo(begin);
    segments_.push_back({begin, end, true});
    end_ = end;
  }
  void FillTo(size_t end) {
    if (end_ < end) segments_.push_back({end_, end, false});
  }

 private:
  std::vector<Segment>& segments_;
  size_t end_ = 0;
};

class LiteralPattern : public Pattern {
 public:
  explicit LiteralPattern(absl::string_view literal) : literal_(literal) {}

  absl::Status FindSegments(absl::string_view text, CpuLimit* /*cpu_limit*/,
                            std::vector<Segment>* segments) const override {
    SegmentList list(segments);
    for (size_t pos = text.find(literal_); pos != absl::string_view::npos;
         pos = text.find(literal_, pos + literal_.size())) {
      list.AddMatch(pos, pos + literal_.size());
    }
    list.FillTo(text.size());
    return absl::OkStatus();
  }

 private:
  std::string literal_;
};

class RegexPattern : public Pattern {
 public:
  explicit RegexPattern(std::unique_ptr<const Regex> regex) : regex_(std::move(regex)) {}

  absl::Status FindSegments(absl::string_view text, CpuLimit* cpu_limit,
                            std::vector<Segment>* segments) const override {
    SegmentList list(segments);
    QUIRE_RETURN_IF_ERROR(regex_->FindAll(
        text, cpu_limit, [&](size_t begin, size_t end) { list.AddMatch(begin, end); }));
    list.FillTo(text.size());
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<const Regex> regex_;
};

class CharacterPattern : public Pattern {
 public:
  explicit CharacterPattern(bool (*in_class)(char32_t)) : in_class_(in_class) {}

  absl::Status FindSegments(absl::string_view text, CpuLimit* /*cpu_limit*/,
                            std::vector<Segment>* segments) const override {
    SegmentList list(segments);
    for (size_t pos = 0; pos < text.size();) {
      const size_t next = pos + Utf8Bytes(text[pos]);
      if (in_class_(CodePointAt(text, pos))) list.AddMatch(pos, next);
      pos = next;
    }
    list.FillTo(text.size());
    return absl::OkStatus();
  }

 private:
  bool (*in_class_)(char32_t);
};

class WordPattern : public Pattern {
 public:
  absl::Status FindSegments(absl::string_view text, CpuLimit* /*cpu_limit*/,
                            std::vector<Segment>* segments) const override {
    enum class Kind { kSpace, kWord, kOther };
    const auto kind_at = [text](size_t pos) {
      const char32_t c = CodePointAt(text, pos);
      return IsWhitespace(c) ? Kind::kSpace : IsWord(c) ? Kind::kWord : Kind::kOther;
    };
    SegmentList list(segments);
    for (size_t begin = 0; begin < text.size();) {
      const Kind kind = kind_at(begin);
      size_t end = begin;
      do {
        end += Utf8Bytes(text[end]);
      } while (end < text.size() && kind_at(end) == kind);
      if (kind != Kind::kSpace) list.AddMatch(begin, end);
      begin = end;
    }
    list.FillTo(text.size());
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<const Pattern> MakeLiteralPattern(absl::string_view literal) {
  return std::make_unique<LiteralPattern>(literal);
}

absl::StatusOr<std::unique_ptr<const Pattern>> MakeRegexPattern(absl::string_view regex) {
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<const Regex> compiled, Regex::Compile(regex));
  return std::make_unique<RegexPattern>(std::move(compiled));
}

std::unique_ptr<const Pattern> MakeCharacterPattern(bool (*in_class)(char32_t)) {
  return std::make_unique<CharacterPattern>(in_class);
}

std::unique_ptr<const Pattern> MakeWordPattern() { return std::make_unique<WordPattern>(); }

absl::StatusOr<std::unique_ptr<const Pattern>> ReadPattern(const JsonNode& node) {
  if (const std::optional<JsonNode> literal = node.Find("String")) {
    QUIRE_ASSIGN_OR_RETURN(const std::string text, literal->String());
    if (text.empty()) return literal->Unexpected("a string that is not empty");
    return MakeLiteralPattern(text);
  }
  const std::optional<JsonNode> regex = node.Find("Regex");
  if (!regex.has_value()) return node.Unexpected("{\"String\": ...} or {\"Regex\": ...}");
  QUIRE_ASSIGN_OR_RETURN(const std::string text, regex->String());
  absl::StatusOr<std::unique_ptr<const Pattern>> pattern = MakeRegexPattern(text);
  if (!pattern.ok()) return regex->Error(pattern.status().message());
  return pattern;
}

}  // namespace quire
