// Each type of tokenizer.json is a sequence of three kinds of step: cut at a pattern, rewrite
// spaces, map bytes to their characters.
#include "tokenizer/pre_tokenizer.h"

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "core/status_macros.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"

namespace quire {
namespace {

constexpr absl::string_view kSupported =
    "one of BertPreTokenizer, ByteLevel, Digits, Metaspace, Punctuation, Sequence, Split, "
    "Whitespace, WhitespaceSplit";
constexpr absl::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// What becomes of a match, on "a--b" cut at "-":
enum class Behavior {
  kRemoved,             // a b
  kIsolated,            // a - - b
  kMergedWithPrevious,  // a- - b
  kMergedWithNext,      // a - -b
  kContiguous,          // a -- b
};

class PatternSplit : public PreTokenizer {
 public:
  PatternSplit(std::unique_ptr<const Pattern> pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  absl::Status Split(Pieces* pieces) const override {
    std::vector<Pieces::Range> cut;
    std::vector<Segment> segments;
    for (const Pieces::Range& piece : pieces->ranges) {
      QUIRE_RETURN_IF_ERROR(
          pattern_->FindSegments(pieces->View(piece), pieces->cpu_limit, &segments));
      if (invert_) {
        for (Segment& segment : segments) segment.is_match = !segment.is_match;
      }
      Cut(segments, piece.begin, &cut);
    }
    pieces->ranges = std::move(cut);
    return absl::OkStatus();
  }

 private:
  // Whether `segment` belongs to the piece of the one before it.
  bool Joins(const Segment& before, const Segment& segment) const {
    switch (behavior_) {
      case Behavior::kRemoved:
      case Behavior::kIsolated:
        return false;
      case Behavior::kMergedWithPrevious:
        return segment.is_match && !before.is_match;
      case Behavior::kMergedWithNext:
        return !segment.is_match && before.is_match;
      case Behavior::kContiguous:
        return segment.is_match == before.is_match;
    }
    return false;
  }

  // Appends the pieces that `segments` of a text at `offset` make.
  void Cut(const std::vector<Segment>& segments, size_t offset,
           std::vector<Pieces::Range>* out) const {
    for (size_t i = 0; i < segments.size();) {
      const Segment& first = segments[i];
      size_t end = first.end;
      for (++i; i < segments.size() && Joins(segments[i - 1], segments[i]); ++i) {
        end = segments[i].end;
      }
      const bool removed = behavior_ == Behavior::kRemoved && first.is_match;
      if (first.begin < end && !removed) out->push_back({offset + first.begin, offset + end});
    }
  }

  std::unique_ptr<const Pattern> pattern_;
  Behavior behavior_;
  bool invert_;
};

// Puts for each piece what `append(piece, at_start, out)` appends, which is not nothing.
template <typename Append>
void Rewrite(Pieces* pieces, Append append) {
  std::string text;
  text.reserve(pieces->text.size() + pieces->text.size() / 2);
  const bool at_start =
      pieces->at_start && !pieces->ranges.empty() && pieces->ranges.front().begin == 0;
  for (Pieces::Range& piece : pieces->ranges) {
    const size_t begin = text.size();
    append(pieces->View(piece), at_start && begin == 0, &text);
    piece = {begin, text.size()};
  }
  pieces->text = std::move(text);
  pieces->at_start = at_start;
}

// Puts the mark for each " ", and before a piece that does not begin with it.
class RewriteSpaces : public PreTokenizer {
 public:
  explicit RewriteSpaces(Metaspace options) : options_(std::move(options)) {}

  absl::Status Split(Pieces* pieces) const override {
    Rewrite(pieces, [this](absl::string_view piece, bool at_start, std::string* out) {
      const std::string& mark = options_.mark;
      const bool prepend = options_.prepend == Metaspace::Prepend::kAlways ||
                           (options_.prepend == Metaspace::Prepend::kFirst && at_start);
      if (prepend && piece[0] != ' ' && !absl::StartsWith(piece, mark)) *out += mark;
      for (const char c : piece) {
        if (c == ' ') {
          *out += mark;
        } else {
          *out += c;
        }
      }
    });
    return absl::OkStatus();
  }

 private:
  Metaspace options_;
};

class MapBytes : public PreTokenizer {
 public:
  absl::Status Split(Pieces* pieces) const override {
    Rewrite(pieces, [](absl::string_view piece, bool /*at_start*/, std::string* out) {
      AppendByteLevel(piece, out);
    });
    return absl::OkStatus();
  }
};

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const PreTokenizer>> steps)
      : steps_(std::move(steps)) {}
  absl::Status Split(Pieces* pieces) const override {
    for (const auto& step : steps_) QUIRE_RETURN_IF_ERROR(step->Split(pieces));
    return absl::OkStatus();
  }

 private:
  std::vector<std::unique_ptr<const PreTokenizer>> steps_;
};

using PreTokenizerOr = absl::StatusOr<std::unique_ptr<const PreTokenizer>>;
using Steps = std::vector<std::unique_ptr<const PreTokenizer>>;

absl::StatusOr<Behavior> ReadBehavior(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const std::string name, node.String());
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  return node.Unexpected(
      "one of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

PreTokenizerOr ReadSplit(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode pattern_node, node.Member("pattern"));
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<const Pattern> pattern, ReadPattern(pattern_node));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode behavior_node, node.Member("behavior"));
  QUIRE_ASSIGN_OR_RETURN(const Behavior behavior, ReadBehavior(behavior_node));
  QUIRE_ASSIGN_OR_RETURN(const bool invert, node.BoolOr("invert", false));
  return std::make_unique<PatternSplit>(std::move(pattern), behavior, invert);
}

PreTokenizerOr ReadByteLevel(const JsonNode& node) {
  Steps steps;
  QUIRE_ASSIGN_OR_RETURN(const bool add_prefix_space, node.BoolOr("add_prefix_space", true));
  QUIRE_ASSIGN_OR_RETURN(const bool use_regex, node.BoolOr("use_regex", true));
  if (add_prefix_space) {
    steps.push_back(std::make_unique<RewriteSpaces>(Metaspace{.mark = " "}));
  }
  if (use_regex) {
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<const Pattern> gpt2, MakeRegexPattern(kGpt2Pattern));
    steps.push_back(std::make_unique<PatternSplit>(std::move(gpt2), Behavior::kIsolated, false));
  }
  steps.push_back(std::make_unique<MapBytes>());
  return std::make_unique<Sequence>(std::move(steps));
}

PreTokenizerOr ReadMetaspaceSplit(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const Metaspace options, ReadMetaspace(node));
  QUIRE_ASSIGN_OR_RETURN(const bool split, node.BoolOr("split", true));
  Steps steps;
  steps.push_back(std::make_unique<RewriteSpaces>(options));
  if (split) {
    steps.push_back(std::make_unique<PatternSplit>(MakeLiteralPattern(options.mark),
                                                   Behavior::kMergedWithNext, false));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

PreTokenizerOr ReadSequence(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode list, node.Member("pretokenizers"));
  QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> elements, list.Elements());
  Steps steps;
  for (const JsonNode& element : elements) {
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<const PreTokenizer> step, ReadPreTokenizer(element));
    steps.push_back(std::move(step));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

std::unique_ptr<const PreTokenizer> SplitAtCharacters(bool (*in_class)(char32_t),
                                                      Behavior behavior) {
  return std::make_unique<PatternSplit>(MakeCharacterPattern(in_class), behavior, false);
}

// Words, and each punctuation character.
PreTokenizerOr MakeBertSplit() {
  Steps steps;
  steps.push_back(SplitAtCharacters(IsWhitespace, Behavior::kRemoved));
  steps.push_back(SplitAtCharacters(IsPunctuation, Behavior::kIsolated));
  return std::make_unique<Sequence>(std::move(steps));
}

}  // namespace

PreTokenizerOr ReadPreTokenizer(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const std::string type, node.Type());
  if (type == "BertPreTokenizer") return MakeBertSplit();
  if (type == "ByteLevel") return ReadByteLevel(node);
  if (type == "Metaspace") return ReadMetaspaceSplit(node);
  if (type == "Sequence") return ReadSequence(node);
  if (type == "Split") return ReadSplit(node);
  if (type == "WhitespaceSplit") return SplitAtCharacters(IsWhitespace, Behavior::kRemoved);
  if (type == "Whitespace") {
    return std::make_unique<PatternSplit>(MakeWordPattern(), Behavior::kRemoved, true);
  }
  if (type == "Digits") {
    QUIRE_ASSIGN_OR_RETURN(const bool individual, node.BoolOr("individual_digits", false));
    return SplitAtCharacters(IsNumeric, individual ? Behavior::kIsolated : Behavior::kContiguous);
  }
  if (type == "Punctuation") {
    const std::optional<JsonNode> behavior_node = node.Find("behavior");
    Behavior behavior = Behavior::kIsolated;
    if (behavior_node.has_value()) {
      QUIRE_ASSIGN_OR_RETURN(behavior, ReadBehavior(*behavior_node));
    }
    return SplitAtCharacters(IsPunctuation, behavior);
  }
  return node.UnexpectedType(kSupported);
}

}  // namespace quire
