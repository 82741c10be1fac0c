#include "tokenizer/normalizer.h"

#include <utility>
#include <vector>

#include "core/status_macros.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pattern.h"
#include "tokenizer/text_normalizers.h"
#include "tokenizer/unicode.h"
#include "tokenizer/unicode_normalize.h"

namespace quire {
namespace {

constexpr absl::string_view kSupported =
    "one of BertNormalizer, ByteLevel, Lowercase, NFC, NFD, NFKC, NFKD, Nmt, Precompiled, Prepend, "
    "Replace, Sequence, Strip, StripAccents";

class UnicodeNormalizer : public Normalizer {
 public:
  explicit UnicodeNormalizer(NormalForm form) : form_(form) {}
  absl::Status Normalize(NormalizedText* text) const override {
    text->text = quire::Normalize(form_, text->text);
    return absl::OkStatus();
  }

 private:
  NormalForm form_;
};

class PrependNormalizer : public Normalizer {
 public:
  explicit PrependNormalizer(std::string prefix) : prefix_(std::move(prefix)) {}
  absl::Status Normalize(NormalizedText* text) const override {
    if (!text->text.empty()) text->text.insert(0, prefix_);
    return absl::OkStatus();
  }

 private:
  std::string prefix_;
};

class ReplaceNormalizer : public Normalizer {
 public:
  ReplaceNormalizer(std::unique_ptr<const Pattern> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}

  absl::Status Normalize(NormalizedText* text) const override {
    const absl::string_view old = text->text;
    if (old.empty()) return absl::OkStatus();
    std::vector<Segment> segments;
    QUIRE_RETURN_IF_ERROR(pattern_->FindSegments(old, text->cpu_limit, &segments));
    std::string replaced;
    replaced.reserve(old.size());
    for (const Segment& segment : segments) {
      if (segment.is_match) {
        replaced += content_;
      } else {
        replaced.append(old.data() + segment.begin, segment.end - segment.begin);
      }
    }
    // What takes the place of several characters stands where the last of them stood.
    const Segment& first = segments.front();
    if (first.is_match && first.end > 0 && (content_.empty() || first.end > Utf8Bytes(old[0]))) {
      text->at_start = false;
    }
    text->text = std::move(replaced);
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<const Pattern> pattern_;
  std::string content_;
};

class StripNormalizer : public Normalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}

  absl::Status Normalize(NormalizedText* text) const override {
    const absl::string_view old = text->text;
    size_t begin = 0;
    size_t end = old.size();
    while (left_ && begin < end && IsWhitespace(CodePointAt(old, begin))) {
      begin += Utf8Bytes(old[begin]);
    }
    while (right_ && end > begin && IsWhitespace(CodePointAt(old, PreviousCharacter(old, end)))) {
      end = PreviousCharacter(old, end);
    }
    if (begin > 0) text->at_start = false;
    text->text = std::string(old.substr(begin, end - begin));
    return absl::OkStatus();
  }

 private:
  bool left_;
  bool right_;
};

class ByteLevelNormalizer : public Normalizer {
 public:
  absl::Status Normalize(NormalizedText* text) const override {
    std::string mapped;
    mapped.reserve(2 * text->text.size());
    AppendByteLevel(text->text, &mapped);
    text->text = std::move(mapped);
    return absl::OkStatus();
  }
};

class SequenceNormalizer : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<const Normalizer>> steps)
      : steps_(std::move(steps)) {}
  absl::Status Normalize(NormalizedText* text) const override {
    for (const auto& step : steps_) QUIRE_RETURN_IF_ERROR(step->Normalize(text));
    return absl::OkStatus();
  }

 private:
  std::vector<std::unique_ptr<const Normalizer>> steps_;
};

using NormalizerOr = absl::StatusOr<std::unique_ptr<const Normalizer>>;

NormalizerOr ReadReplace(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode pattern_node, node.Member("pattern"));
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<const Pattern> pattern, ReadPattern(pattern_node));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode content_node, node.Member("content"));
  QUIRE_ASSIGN_OR_RETURN(std::string content, content_node.String());
  return std::make_unique<ReplaceNormalizer>(std::move(pattern), std::move(content));
}

NormalizerOr ReadSequence(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode list, node.Member("normalizers"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> elements, list.Elements());
  std::vector<std::unique_ptr<const Normalizer>> steps;
  for (const JsonNode& element : elements) {
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<const Normalizer> step, ReadNormalizer(element));
    steps.push_back(std::move(step));
  }
  return std::make_unique<SequenceNormalizer>(std::move(steps));
}

}  // namespace

NormalizerOr ReadNormalizer(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const std::string type, node.Type());
  if (type == "NFC") return std::make_unique<UnicodeNormalizer>(NormalForm::kNfc);
  if (type == "NFD") return std::make_unique<UnicodeNormalizer>(NormalForm::kNfd);
  if (type == "NFKC") return std::make_unique<UnicodeNormalizer>(NormalForm::kNfkc);
  if (type == "NFKD") return std::make_unique<UnicodeNormalizer>(NormalForm::kNfkd);
  if (type == "BertNormalizer") return ReadBertNormalizer(node);
  if (type == "Lowercase") return MakeLowercase();
  if (type == "Nmt") return MakeNmt();
  if (type == "Precompiled") return ReadPrecompiled(node);
  if (type == "StripAccents") return MakeStripAccents();
  if (type == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
  if (type == "Replace") return ReadReplace(node);
  if (type == "Sequence") return ReadSequence(node);
  if (type == "Prepend") {
    QUIRE_ASSIGN_OR_RETURN(const JsonNode prefix_node, node.Member("prepend"));
    QUIRE_ASSIGN_OR_RETURN(std::string prefix, prefix_node.String());
    return std::make_unique<PrependNormalizer>(std::move(prefix));
  }
  if (type == "Strip") {
    QUIRE_ASSIGN_OR_RETURN(const bool left, node.BoolOr("strip_left", true));
    QUIRE_ASSIGN_OR_RETURN(const bool right, node.BoolOr("strip_right", true));
    return std::make_unique<StripNormalizer>(left, right);
  }
  return node.UnexpectedType(kSupported);
}

}  // namespace quire
