#include "tokenizer/decoder.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "core/status_macros.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/metaspace.h"
#include "tokenizer/unicode.h"

namespace quire {
namespace {

// The end of every stream.
class Collect : public DecodeStep {
 public:
  void Push(absl::string_view token) override { text_.append(token.data(), token.size()); }
  void Finish() override {}
  std::string* text() { return &text_; }

 private:
  std::string text_;
};

// What the package does without a decoder.
class JoinWithSpaces : public DecodeStep {
 public:
  void Push(absl::string_view token) override {
    if (!first_) next_->Push(" ");
    first_ = false;
    next_->Push(token);
  }

 private:
  bool first_ = true;
};

// The bytes that the tokens' characters stand for, as UTF-8.
class ByteLevelStep : public DecodeStep {
 public:
  void Push(absl::string_view token) override {
    AppendBytesOf(token, &bytes_);
    text_.clear();
    const size_t unfinished = AppendReplacingInvalid(bytes_, &text_);
    bytes_.erase(0, bytes_.size() - unfinished);
    next_->Push(text_);
  }
  void Finish() override {
    if (!bytes_.empty()) next_->Push(kReplacementCharacter);
    next_->Finish();
  }

 private:
  std::string bytes_;  // an unfinished character
  std::string text_;
};

// Joins runs of tokens "<0x00>" to "<0xFF>".
class ByteFallbackStep : public DecodeStep {
 public:
  explicit ByteFallbackStep(ByteRuns byte_runs) : byte_runs_(byte_runs) {}
  void Push(absl::string_view token) override {
    if (const std::optional<char> byte = ByteOf(token)) {
      run_.push_back(*byte);
      if (byte_runs_ == ByteRuns::kStreaming) PushFinished();
      return;
    }
    Flush();
    next_->Push(token);
  }
  void Finish() override {
    Flush();
    next_->Finish();
  }

 private:
  static std::optional<char> ByteOf(absl::string_view token) {
    if (token.size() != 6 || !absl::StartsWith(token, "<0x") || token[5] != '>') {
      return std::nullopt;
    }
    const auto digit = [token](size_t i) {
      const char c = token[i];
      return c >= '0' && c <= '9'   ? c - '0'
             : c >= 'A' && c <= 'F' ? c - 'A' + 10
             : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                    : -1;
    };
    if (digit(3) < 0 || digit(4) < 0) return std::nullopt;
    return static_cast<char>(digit(3) * 16 + digit(4));
  }

  // Hands on what no later byte can change.
  void PushFinished() {
    while (!run_.empty()) {
      const Utf8Sequence next = NextUtf8(run_);
      if (next.kind == Utf8Kind::kUnfinished) return;
      if (next.kind == Utf8Kind::kValid) {
        next_->Push(absl::string_view(run_).substr(0, next.bytes));
      } else {
        PushReplacements(next.bytes);
      }
      run_.erase(0, next.bytes);
    }
  }

  // The end of the run.
  void Flush() {
    if (run_.empty()) return;
    if (simdjson::validate_utf8(run_)) {
      next_->Push(run_);
    } else {
      PushReplacements(run_.size());
    }
    run_.clear();
  }

  void PushReplacements(size_t count) {
    for (size_t i = 0; i < count; ++i) next_->Push(kReplacementCharacter);
  }

  ByteRuns byte_runs_;
  std::string run_;  // what was not handed on yet
};

// Puts `content` for each `pattern`.
class Replacer {
 public:
  Replacer(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  // Valid until the next call.
  absl::string_view Replace(absl::string_view token) {
    size_t pos = token.find(pattern_);
    if (pos == absl::string_view::npos) return token;
    text_.clear();
    for (; pos != absl::string_view::npos; pos = token.find(pattern_)) {
      text_.append(token.data(), pos);
      text_ += content_;
      token.remove_prefix(pos + pattern_.size());
    }
    text_.append(token.data(), token.size());
    return text_;
  }

 private:
  std::string pattern_;
  std::string content_;
  std::string text_;
};

class ReplaceStep : public DecodeStep {
 public:
  explicit ReplaceStep(Replacer replacer) : replacer_(std::move(replacer)) {}
  void Push(absl::string_view token) override { next_->Push(replacer_.Replace(token)); }

 private:
  Replacer replacer_;
};

// Spaces for `mark`; the first token loses its marks if `drop_first`.
class MetaspaceStep : public DecodeStep {
 public:
  MetaspaceStep(const std::string& mark, bool drop_first)
      : drop_(mark, ""), keep_(mark, " "), drop_next_(drop_first) {}
  void Push(absl::string_view token) override {
    next_->Push((drop_next_ ? drop_ : keep_).Replace(token));
    drop_next_ = false;
  }

 private:
  Replacer drop_;
  Replacer keep_;
  bool drop_next_;
};

// Spaces before the tokens that start a word. `cleanup` takes away those that English has not
// before punctuation and contractions, as BERT's split put them there.
class WordPieceStep : public DecodeStep {
 public:
  WordPieceStep(std::string prefix, bool cleanup) : prefix_(std::move(prefix)) {
    if (!cleanup) return;
    for (const auto& [from, to] : kCleanup) rules_.emplace_back(from, to);
  }
  void Push(absl::string_view token) override {
    text_.clear();
    if (!first_ && !absl::ConsumePrefix(&token, prefix_)) text_ = std::string(" ");
    first_ = false;
    text_.append(token.data(), token.size());
    absl::string_view cleaned = text_;
    for (Replacer& rule : rules_) cleaned = rule.Replace(cleaned);
    next_->Push(cleaned);
  }

 private:
  static constexpr std::pair<const char*, const char*> kCleanup[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

  std::string prefix_;
  std::vector<Replacer> rules_;  // in this order
  bool first_ = true;
  std::string text_;
};

struct StripRule {
  std::string content;  // one character
  int64_t start = 0;    // how many of it go at most, at the start and at the end
  int64_t stop = 0;
};

class StripEachStep : public DecodeStep {
 public:
  explicit StripEachStep(StripRule rule) : rule_(std::move(rule)) {}
  void Push(absl::string_view token) override {
    for (int64_t i = 0; i < rule_.start && absl::ConsumePrefix(&token, rule_.content); ++i) {
    }
    for (int64_t i = 0; i < rule_.stop && absl::ConsumeSuffix(&token, rule_.content); ++i) {
    }
    next_->Push(token);
  }

 private:
  StripRule rule_;
};

// Strips the one string that all pushed ones make.
class StripWholeStep : public DecodeStep {
 public:
  explicit StripWholeStep(StripRule rule) : rule_(std::move(rule)) {}
  void Push(absl::string_view text) override {
    while (rule_.start > 0 && !text.empty()) {
      rule_.start = absl::ConsumePrefix(&text, rule_.content) ? rule_.start - 1 : 0;
    }
    if (rule_.stop == 0) {
      next_->Push(text);
      return;
    }
    held_.append(text.data(), text.size());
    absl::string_view ready = held_;
    for (int64_t i = 0; i < rule_.stop && absl::ConsumeSuffix(&ready, rule_.content); ++i) {
    }
    next_->Push(ready);
    held_.erase(0, ready.size());
  }

 private:
  StripRule rule_;
  std::string held_;  // what goes if nothing else follows
};

}  // namespace

DecodeStream::DecodeStream(std::vector<std::unique_ptr<DecodeStep>> steps)
    : steps_(std::move(steps)) {
  auto last = std::make_unique<Collect>();
  text_ = last->text();
  steps_.push_back(std::move(last));
  for (size_t i = 0; i + 1 < steps_.size(); ++i) steps_[i]->set_next(steps_[i + 1].get());
}

std::string DecodeStream::Take() { return std::exchange(*text_, std::string()); }

DecodeStream TokenDecoder::NewStream(ByteRuns byte_runs) const {
  if (edits_byte_runs_) byte_runs = ByteRuns::kWhole;
  std::vector<std::unique_ptr<DecodeStep>> steps;
  for (const auto& make_step : make_steps_) steps.push_back(make_step(byte_runs));
  return DecodeStream(std::move(steps));
}

absl::StatusOr<TokenDecoder> TokenDecoder::Read(const std::optional<JsonNode>& node) {
  TokenDecoder decoder;
  if (!node.has_value()) {
    decoder.make_steps_.emplace_back([](ByteRuns) { return std::make_unique<JoinWithSpaces>(); });
    return decoder;
  }
  QUIRE_RETURN_IF_ERROR(decoder.Add(*node));
  return decoder;
}

absl::Status TokenDecoder::Add(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const std::string type, node.Type());
  if (type == "Sequence") {
    QUIRE_ASSIGN_OR_RETURN(const JsonNode list, node.Member("decoders"));
    QUIRE_ASSIGN_OR_RETURN(const std::vector<JsonNode> elements, list.Elements());
    for (const JsonNode& element : elements) QUIRE_RETURN_IF_ERROR(Add(element));
    return absl::OkStatus();
  }
  if (type == "Fuse") {
    fused_ = true;
    return absl::OkStatus();
  }
  if (type == "ByteFallback" && !fused_) {
    has_byte_runs_ = true;
    make_steps_.emplace_back(
        [](ByteRuns byte_runs) { return std::make_unique<ByteFallbackStep>(byte_runs); });
    return absl::OkStatus();
  }
  edits_byte_runs_ = edits_byte_runs_ || (has_byte_runs_ && !fused_);
  if (type == "Strip") return AddStrip(node);
  if (fused_) return node.UnexpectedType("Fuse or Strip, as the tokens are one string by now");
  if (type == "Replace") return AddReplace(node);
  if (type == "Metaspace") return AddMetaspace(node);
  if (type == "WordPiece") return AddWordPiece(node);
  if (type == "ByteLevel") {
    fused_ = true;
    make_steps_.emplace_back([](ByteRuns) { return std::make_unique<ByteLevelStep>(); });
    return absl::OkStatus();
  }
  return node.UnexpectedType(
      "one of ByteLevel, ByteFallback, Fuse, Metaspace, Replace, Strip, WordPiece, Sequence");
}

absl::Status TokenDecoder::AddReplace(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode pattern_node, node.Member("pattern"));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode literal, pattern_node.Member("String"));
  QUIRE_ASSIGN_OR_RETURN(const std::string pattern, literal.String());
  QUIRE_ASSIGN_OR_RETURN(const JsonNode content_node, node.Member("content"));
  QUIRE_ASSIGN_OR_RETURN(const std::string content, content_node.String());
  if (pattern.empty()) return literal.Unexpected("a string that is not empty");
  make_steps_.emplace_back([replacer = Replacer(pattern, content)](ByteRuns) {
    return std::make_unique<ReplaceStep>(replacer);
  });
  return absl::OkStatus();
}

absl::Status TokenDecoder::AddMetaspace(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const Metaspace options, ReadMetaspace(node));
  make_steps_.emplace_back([options](ByteRuns) {
    return std::make_unique<MetaspaceStep>(options.mark,
                                           options.prepend != Metaspace::Prepend::kNever);
  });
  return absl::OkStatus();
}

absl::Status TokenDecoder::AddWordPiece(const JsonNode& node) {
  QUIRE_ASSIGN_OR_RETURN(const JsonNode prefix_node, node.Member("prefix"));
  QUIRE_ASSIGN_OR_RETURN(const std::string prefix, prefix_node.String());
  QUIRE_ASSIGN_OR_RETURN(const JsonNode cleanup_node, node.Member("cleanup"));
  QUIRE_ASSIGN_OR_RETURN(const bool cleanup, cleanup_node.Bool());
  make_steps_.emplace_back(
      [prefix, cleanup](ByteRuns) { return std::make_unique<WordPieceStep>(prefix, cleanup); });
  return absl::OkStatus();
}

absl::Status TokenDecoder::AddStrip(const JsonNode& node) {
  constexpr int64_t kMost = 1 << 20;
  StripRule rule;
  QUIRE_ASSIGN_OR_RETURN(const JsonNode content, node.Member("content"));
  QUIRE_ASSIGN_OR_RETURN(const char32_t character, ReadCharacter(content));
  AppendUtf8(character, &rule.content);
  QUIRE_ASSIGN_OR_RETURN(const JsonNode start, node.Member("start"));
  QUIRE_ASSIGN_OR_RETURN(rule.start, start.Integer(0, kMost));
  QUIRE_ASSIGN_OR_RETURN(const JsonNode stop, node.Member("stop"));
  QUIRE_ASSIGN_OR_RETURN(rule.stop, stop.Integer(0, kMost));
  if (fused_) {
    make_steps_.emplace_back([rule](ByteRuns) { return std::make_unique<StripWholeStep>(rule); });
  } else {
    make_steps_.emplace_back([rule](ByteRuns) { return std::make_unique<StripEachStep>(rule); });
  }
  return absl::OkStatus();
}

}  // namespace quire
